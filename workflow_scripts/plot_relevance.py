"""Draw `relevance_figure` of all methods."""

from steerdose.flow.jobs import open_job

with open_job(snakemake) as job:
    from steerdose.figures.relevance import plot_relevance

    job.run(plot_relevance)
