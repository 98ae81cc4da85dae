"""Draw what every probe reads on the unsteered model."""

from steerdose.flow.jobs import open_job

with open_job(snakemake) as job:
    from steerdose.figures.probes import probes_figure
    from steerdose.figures.style import save
    from steerdose.files import read_table, read_tables

    figure = probes_figure(read_tables(job.input.forks), read_table(job.input.table), **job.settings)
    save(figure, job.output.png, job.output.svg)
