"""Write how often each rolled-out probe is answered, and answered right, by method and dose."""

from steerdose.flow.jobs import open_job

with open_job(snakemake) as job:
    from steerdose.tables.answers import tabulate_answers

    job.run(tabulate_answers)
