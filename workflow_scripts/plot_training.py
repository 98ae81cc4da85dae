"""Draw training and held-out loss of every adapter."""

from steerdose.flow.jobs import open_job

with open_job(snakemake) as job:
    from steerdose.figures.style import save
    from steerdose.figures.training import training_figure
    from steerdose.files import read_tables

    save(training_figure(read_tables(job.input.losses)), job.output.png, job.output.svg)
