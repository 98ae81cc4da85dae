"""Draw the share dead at every dose and threshold of death."""

from steerdose.jobs import open_job

with open_job(snakemake) as job:
    from steerdose.figures import save
    from steerdose.tables import read_table
    from steerdose.threshold_sweep_figure import threshold_sweep_figure

    figure = threshold_sweep_figure(read_table(job.input.shares), read_table(job.input.table))
    save(figure, job.output.png, job.output.svg)
