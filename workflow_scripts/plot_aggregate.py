"""Draw KL above pmass, one pair of panels a method and dose."""

from steerdose.flow.jobs import open_job

with open_job(snakemake) as job:
    from steerdose.figures.aggregate import plot_aggregate

    job.run(plot_aggregate)
