"""Train one sign of an adapter."""

from steerdose.flow.jobs import open_job

with open_job(snakemake) as job:
    from steerdose.make.adapters import train_adapter

    job.run(train_adapter)
