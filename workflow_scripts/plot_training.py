"""Draw training and held-out loss of every adapter."""

from steerdose.flow.jobs import open_job

with open_job(snakemake) as job:
    from steerdose.figures.training import plot_training

    job.run(plot_training)
