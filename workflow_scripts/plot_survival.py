"""Draw survival: one panel a method, one curve an alpha."""

from steerdose.flow.jobs import open_job

with open_job(snakemake) as job:
    from steerdose.figures.style import save
    from steerdose.figures.survival import survival_figure
    from steerdose.files import read_tables

    save(survival_figure(read_tables(job.input.curves)), job.output.png, job.output.svg)
