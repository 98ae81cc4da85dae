"""Draw survival: one panel a method, one curve an alpha."""

from steerdose.jobs import open_job

with open_job(snakemake) as job:
    from steerdose.figures import save
    from steerdose.survival_figure import survival_figure
    from steerdose.tables import read_tables

    save(survival_figure(read_tables(job.input.curves)), job.output.png, job.output.svg)
