"""Draw `equal_kl_figure` of all methods."""

from steerdose.flow.jobs import open_job

with open_job(snakemake) as job:
    from steerdose.figures.equal_kl import plot_equal_kl

    job.run(plot_equal_kl)
