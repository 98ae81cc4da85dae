"""Write the value of every text, and whether it is broken."""

from steerdose.flow.jobs import open_job

with open_job(snakemake) as job:
    from steerdose.benefit.texts import score_texts

    job.run(score_texts)
