"""Draw `spaghetti_normalised_figure` of the tokens of all methods that have a place."""

from steerdose.flow.jobs import open_job

with open_job(snakemake) as job:
    from steerdose.figures.spaghetti_normalised import plot_spaghetti_normalised

    job.run(plot_spaghetti_normalised)
