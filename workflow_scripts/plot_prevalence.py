"""Draw `prevalence_figure` by the deciding endpoint, which comes first."""

from steerdose.flow.jobs import open_job

with open_job(snakemake) as job:
    from steerdose.figures.prevalence import plot_prevalence

    job.run(plot_prevalence)
