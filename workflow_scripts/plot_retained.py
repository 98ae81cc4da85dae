"""Draw `retained_figure`."""

from steerdose.flow.jobs import open_job

with open_job(snakemake) as job:
    from steerdose.figures.retained import plot_retained

    job.run(plot_retained)
