"""Draw `probes_figure` of the audits of all models."""

from steerdose.flow.jobs import open_job

with open_job(snakemake) as job:
    from steerdose.figures.probes import plot_probes

    job.run(plot_probes)
