"""Draw survival: one panel an alpha, one curve a method."""

from steerdose.jobs import open_job

with open_job(snakemake) as job:
    from steerdose.figures import save
    from steerdose.survival_by_dose_figure import survival_by_dose_figure
    from steerdose.tables import read_tables

    save(survival_by_dose_figure(read_tables(job.input.curves)), job.output.png, job.output.svg)
