"""Draw training and held-out loss of every adapter."""

from steerdose.jobs import open_job

with open_job(snakemake) as job:
    from steerdose.figures import save
    from steerdose.tables import read_tables
    from steerdose.training_figure import training_figure

    save(training_figure(read_tables(job.input.losses)), job.output.png, job.output.svg)
