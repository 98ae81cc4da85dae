"""Write what every method and dose leaves of the knowledge of claims."""

from steerdose.flow.jobs import open_job

with open_job(snakemake) as job:
    from steerdose.tables.knowledge import tabulate_knowledge

    job.run(tabulate_knowledge)
