"""Write what every hypothesis recovers of one method's delta: by block, over blocks, and by held-out prompt."""

from steerdose.flow.jobs import open_job

with open_job(snakemake) as job:
    from steerdose.subspaces.sweep import sweep_subspaces

    job.run(sweep_subspaces)
