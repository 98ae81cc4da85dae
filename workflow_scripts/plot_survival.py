"""Draw `survival_figure` of the curves of all methods."""

from steerdose.flow.jobs import open_job

with open_job(snakemake) as job:
    from steerdose.figures.survival import plot_survival

    job.run(plot_survival)
