"""Draw `parts_figure`."""

from steerdose.flow.jobs import open_job

with open_job(snakemake) as job:
    from steerdose.figures.parts import plot_parts

    job.run(plot_parts)
