"""Draw `layer_figure`."""

from steerdose.flow.jobs import open_job

with open_job(snakemake) as job:
    from steerdose.figures.layer_map import plot_layer_map

    job.run(plot_layer_map)
