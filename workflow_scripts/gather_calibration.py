"""Write calibration/{method}.parquet, one row an evaluation, and calibration/{method}.json."""

from steerdose.flow.jobs import open_job

with open_job(snakemake) as job:
    from steerdose.dose.gather import gather_calibration

    job.run(gather_calibration)
