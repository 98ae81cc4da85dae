"""Draw `survival_by_dose_figure` of the curves of all methods."""

from steerdose.flow.jobs import open_job

with open_job(snakemake) as job:
    from steerdose.figures.survival_by_dose import plot_survival_by_dose

    job.run(plot_survival_by_dose)
