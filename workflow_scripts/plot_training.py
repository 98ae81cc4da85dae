"""Draw `training_figure` of the losses of all adapters."""

from steerdose.flow.jobs import open_job

with open_job(snakemake) as job:
    from steerdose.figures.training import plot_training

    job.run(plot_training)
