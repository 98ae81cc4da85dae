"""Draw the KL of every trajectory: one panel an alpha."""

from steerdose.jobs import open_job

with open_job(snakemake) as job:
    from steerdose.figures import save, spaghetti_figure
    from steerdose.tables import read_tables

    tables = (read_tables(paths) for paths in (job.input.tokens, job.input.lifetimes, job.input.calibrations))
    figure = spaghetti_figure(*tables)
    save(figure, job.output.png, job.output.svg)
