"""Write a steering at one dose as a PEFT adapter."""

from steerdose.flow.jobs import open_job

with open_job(snakemake) as job:
    from steerdose.exchange.write import export_peft

    job.run(export_peft)
