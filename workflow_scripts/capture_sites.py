"""Write subspaces/sites.safetensors: what hypotheses are built of, under clean prompts and both personas."""

from steerdose.flow.jobs import open_job

with open_job(snakemake) as job:
    from steerdose.subspaces.captures import capture_sites

    job.run(capture_sites)
