"""Draw what each statistic of KL sees."""

from steerdose.jobs import open_job

with open_job(snakemake) as job:
    from steerdose.aggregation import simulated_students
    from steerdose.aggregation_figure import aggregation_figure
    from steerdose.figures import save
    from steerdose.tables import read_table

    save(aggregation_figure(simulated_students(), read_table(job.input.table)), job.output.png, job.output.svg)
