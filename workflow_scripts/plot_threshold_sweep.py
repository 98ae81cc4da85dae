"""Draw the share dead at every dose and threshold of death."""

from steerdose.flow.jobs import open_job

with open_job(snakemake) as job:
    from steerdose.figures.threshold_sweep import plot_threshold_sweep

    job.run(plot_threshold_sweep)
