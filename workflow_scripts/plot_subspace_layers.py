"""Draw `layers_figure`."""

from steerdose.flow.jobs import open_job

with open_job(snakemake) as job:
    from steerdose.figures.subspace_layers import plot_subspace_layers

    job.run(plot_subspace_layers)
