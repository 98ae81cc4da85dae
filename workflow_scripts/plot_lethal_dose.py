"""Draw lethal and safe doses of all methods side by side."""

from steerdose.jobs import open_job

with open_job(snakemake) as job:
    from steerdose.figures import save
    from steerdose.lethal_dose_figure import lethal_dose_figure
    from steerdose.tables import read_table

    figure = lethal_dose_figure(read_table(job.input.shares), read_table(job.input.table))
    save(figure, job.output.png, job.output.svg)
