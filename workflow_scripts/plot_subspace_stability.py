"""Draw `stability_figure`."""

from steerdose.flow.jobs import open_job

with open_job(snakemake) as job:
    from steerdose.figures.subspace_stability import plot_subspace_stability

    job.run(plot_subspace_stability)
