"""Draw `subspaces_figure`."""

from steerdose.flow.jobs import open_job

with open_job(snakemake) as job:
    from steerdose.figures.subspaces import plot_subspaces

    job.run(plot_subspaces)
