"""Merge a steering at one dose into the model."""

from steerdose.flow.jobs import open_job

with open_job(snakemake) as job:
    from steerdose.exchange.write import export_model

    job.run(export_model)
