"""Draw survival: one panel a method, one curve an alpha."""

from steerdose.flow.jobs import open_job

with open_job(snakemake) as job:
    from steerdose.figures.survival import plot_survival

    job.run(plot_survival)
