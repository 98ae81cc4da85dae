"""Write what parts in bases of hypotheses retain, remove and break, of every seed and over all of them."""

from steerdose.flow.jobs import open_job

with open_job(snakemake) as job:
    from steerdose.tables.ablations import tabulate_subspace_parts

    job.run(tabulate_subspace_parts)
