"""Draw `angles_figure`."""

from steerdose.flow.jobs import open_job

with open_job(snakemake) as job:
    from steerdose.figures.angles import plot_angles

    job.run(plot_angles)
