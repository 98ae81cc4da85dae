"""Write the adapter's folder (PEFT's own format) and training.parquet for one sign of the config's `entry`."""

from steerdose.flow.jobs import open_job

with open_job(snakemake) as job:
    from steerdose.make.adapters import train_adapter

    job.run(train_adapter)
