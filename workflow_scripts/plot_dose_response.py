"""Draw the share of trajectories dead by the window against the dose."""

from steerdose.flow.jobs import open_job

with open_job(snakemake) as job:
    from steerdose.figures.dose_response import dose_response_figure
    from steerdose.figures.style import save
    from steerdose.files import read_table

    figure = dose_response_figure(read_table(job.input.shares), read_table(job.input.table))
    save(figure, job.output.png, job.output.svg)
