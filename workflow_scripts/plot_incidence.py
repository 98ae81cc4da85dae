"""Draw `incidence_figure` of the curves of all methods."""

from steerdose.flow.jobs import open_job

with open_job(snakemake) as job:
    from steerdose.figures.incidence import plot_incidence

    job.run(plot_incidence)
