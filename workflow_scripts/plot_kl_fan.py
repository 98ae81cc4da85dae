"""Draw `kl_fan_figure` of the tokens of all methods that have a place."""

from steerdose.flow.jobs import open_job

with open_job(snakemake) as job:
    from steerdose.figures.kl_fan import plot_kl_fan

    job.run(plot_kl_fan)
