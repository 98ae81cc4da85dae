"""Tabulate what is left of the knowledge of yes/no questions."""

from steerdose.flow.jobs import open_job

with open_job(snakemake) as job:
    from steerdose.tables.knowledge import tabulate_knowledge

    job.run(tabulate_knowledge)
