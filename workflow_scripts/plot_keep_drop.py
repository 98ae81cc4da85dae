"""Draw `keep_drop_figure`."""

from steerdose.flow.jobs import open_job

with open_job(snakemake) as job:
    from steerdose.figures.keep_drop import plot_keep_drop

    job.run(plot_keep_drop)
