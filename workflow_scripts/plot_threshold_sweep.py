"""Draw the share dead at every dose and threshold of death."""

from steerdose.flow.jobs import open_job

with open_job(snakemake) as job:
    from steerdose.figures.style import save
    from steerdose.figures.threshold_sweep import threshold_sweep_figure
    from steerdose.files import read_table

    figure = threshold_sweep_figure(read_table(job.input.shares), read_table(job.input.table))
    save(figure, job.output.png, job.output.svg)
