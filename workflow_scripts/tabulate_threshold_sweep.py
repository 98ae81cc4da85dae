"""Tabulate lethal doses and ranks at many thresholds of death."""

from steerdose.flow.jobs import open_job

with open_job(snakemake) as job:
    from steerdose.tables.threshold_sweep import tabulate_threshold_sweep

    job.run(tabulate_threshold_sweep)
