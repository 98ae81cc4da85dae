"""Draw `therapeutic_figure` of all methods."""

from steerdose.flow.jobs import open_job

with open_job(snakemake) as job:
    from steerdose.figures.therapeutic import plot_therapeutic

    job.run(plot_therapeutic)
