"""Draw the statistic against the coefficient, and how near to its target each search came."""

from steerdose.jobs import open_job

with open_job(snakemake) as job:
    from steerdose.calibration_figure import calibration_figure
    from steerdose.figures import save
    from steerdose.tables import read_tables

    save(calibration_figure(read_tables(job.input.tables), **job.settings), job.output.png, job.output.svg)
