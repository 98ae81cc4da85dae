"""Draw the statistic against the coefficient, with each search's path."""

from steerdose.jobs import open_job

with open_job(snakemake) as job:
    from steerdose.figures import calibration_figure, save
    from steerdose.tables import read_tables

    save(calibration_figure(read_tables(job.input.tables), **job.settings), job.output.png, job.output.svg)
