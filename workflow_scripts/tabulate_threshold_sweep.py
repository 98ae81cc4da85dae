"""Write who is dead at which dose and threshold, and the lethal doses that follow; thresholds: a file a model."""

from steerdose.flow.jobs import open_job

with open_job(snakemake) as job:
    from steerdose.tables.threshold_sweep import tabulate_threshold_sweep

    job.run(tabulate_threshold_sweep)
