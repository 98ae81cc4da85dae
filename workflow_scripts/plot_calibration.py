"""Draw the statistic against the coefficient, and how near to its target each search came."""

from steerdose.flow.jobs import open_job

with open_job(snakemake) as job:
    from steerdose.figures.calibration import calibration_figure
    from steerdose.figures.style import save
    from steerdose.files import read_tables

    save(calibration_figure(read_tables(job.input.tables), **job.settings), job.output.png, job.output.svg)
