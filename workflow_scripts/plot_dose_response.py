"""Draw the share of trajectories dead by the window against the dose."""

from steerdose.jobs import open_job

with open_job(snakemake) as job:
    from steerdose.dose_response_figure import dose_response_figure
    from steerdose.figures import save
    from steerdose.tables import read_table

    figure = dose_response_figure(read_table(job.input.shares), read_table(job.input.table))
    save(figure, job.output.png, job.output.svg)
