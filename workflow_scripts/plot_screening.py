"""Draw `screening_figure`."""

from steerdose.flow.jobs import open_job

with open_job(snakemake) as job:
    from steerdose.figures.screening import plot_screening

    job.run(plot_screening)
