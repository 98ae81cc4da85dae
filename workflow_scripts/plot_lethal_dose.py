"""Draw lethal and safe doses of all methods side by side."""

from steerdose.flow.jobs import open_job

with open_job(snakemake) as job:
    from steerdose.figures.lethal_dose import lethal_dose_figure
    from steerdose.figures.style import save
    from steerdose.files import read_table

    figure = lethal_dose_figure(read_table(job.input.shares), read_table(job.input.table))
    save(figure, job.output.png, job.output.svg)
