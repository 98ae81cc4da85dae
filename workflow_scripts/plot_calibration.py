"""Draw `calibration_figure` of the calibrations of all methods."""

from steerdose.flow.jobs import open_job

with open_job(snakemake) as job:
    from steerdose.figures.calibration import plot_calibration

    job.run(plot_calibration)
