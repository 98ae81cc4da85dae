"""Write what may be said: over all seeds, where there are several."""

from steerdose.flow.jobs import open_job

with open_job(snakemake) as job:
    from steerdose.tables.subspace_claims import tabulate_subspace_claims

    job.run(tabulate_subspace_claims)
