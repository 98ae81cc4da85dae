"""Draw what every probe reads on the unsteered model."""

from steerdose.jobs import open_job

with open_job(snakemake) as job:
    from steerdose.figures import save
    from steerdose.probes_figure import probes_figure
    from steerdose.tables import read_table, read_tables

    figure = probes_figure(read_tables(job.input.forks), read_table(job.input.table), **job.settings)
    save(figure, job.output.png, job.output.svg)
