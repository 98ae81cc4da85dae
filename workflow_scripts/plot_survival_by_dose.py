"""Draw survival: one panel an alpha, one curve a method."""

from steerdose.flow.jobs import open_job

with open_job(snakemake) as job:
    from steerdose.figures.style import save
    from steerdose.figures.survival_by_dose import survival_by_dose_figure
    from steerdose.files import read_tables

    save(survival_by_dose_figure(read_tables(job.input.curves)), job.output.png, job.output.svg)
