"""Draw the KL of every trajectory: one panel an alpha."""

from steerdose.flow.jobs import open_job

with open_job(snakemake) as job:
    from steerdose.figures.spaghetti import plot_spaghetti

    job.run(plot_spaghetti)
