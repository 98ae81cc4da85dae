"""Draw `lethal_dose_figure` of the tables of doses."""

from steerdose.flow.jobs import open_job

with open_job(snakemake) as job:
    from steerdose.figures.lethal_dose import plot_lethal_dose

    job.run(plot_lethal_dose)
