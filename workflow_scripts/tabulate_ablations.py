"""Write what every part retains, removes and breaks, of every seed and over all of them."""

from steerdose.flow.jobs import open_job

with open_job(snakemake) as job:
    from steerdose.tables.ablations import tabulate_ablations

    job.run(tabulate_ablations)
