"""Draw `effects_figure`."""

from steerdose.flow.jobs import open_job

with open_job(snakemake) as job:
    from steerdose.figures.subspace_effects import plot_subspace_effects

    job.run(plot_subspace_effects)
