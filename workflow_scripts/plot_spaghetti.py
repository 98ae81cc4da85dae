"""Draw the KL of every trajectory: one panel an alpha."""

from steerdose.jobs import open_job

with open_job(snakemake) as job:
    from steerdose.figures import save, spaghetti_figure
    from steerdose.tables import read_tables

    figure = spaghetti_figure(read_tables(job.input.tokens), read_tables(job.input.lifetimes), **job.settings)
    save(figure, job.output.png, job.output.svg)
