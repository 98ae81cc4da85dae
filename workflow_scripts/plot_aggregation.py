"""Draw what each statistic of KL sees."""

from steerdose.flow.jobs import open_job

with open_job(snakemake) as job:
    from steerdose.figures.aggregation import aggregation_figure
    from steerdose.figures.style import save
    from steerdose.files import read_table
    from steerdose.tables.aggregation import simulated_students

    save(aggregation_figure(simulated_students(), read_table(job.input.table)), job.output.png, job.output.svg)
