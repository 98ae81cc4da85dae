"""Draw `dose_response_figure` of the tables of doses."""

from steerdose.flow.jobs import open_job

with open_job(snakemake) as job:
    from steerdose.figures.dose_response import plot_dose_response

    job.run(plot_dose_response)
