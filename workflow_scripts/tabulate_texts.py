"""Write the degeneration of the texts of every method and dose."""

from steerdose.flow.jobs import open_job

with open_job(snakemake) as job:
    from steerdose.tables.texts import tabulate_texts

    job.run(tabulate_texts)
