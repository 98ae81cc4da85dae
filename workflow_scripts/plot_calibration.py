"""Draw the statistic against the coefficient, and how near to its target each search came."""

from steerdose.flow.jobs import open_job

with open_job(snakemake) as job:
    from steerdose.figures.calibration import plot_calibration

    job.run(plot_calibration)
