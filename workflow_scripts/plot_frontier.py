"""Draw `frontier_figure` of all methods."""

from steerdose.flow.jobs import open_job

with open_job(snakemake) as job:
    from steerdose.figures.frontier import plot_frontier

    job.run(plot_frontier)
