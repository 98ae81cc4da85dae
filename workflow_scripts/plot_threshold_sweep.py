"""Draw `threshold_sweep_figure` of the tables of the threshold sweep."""

from steerdose.flow.jobs import open_job

with open_job(snakemake) as job:
    from steerdose.figures.threshold_sweep import plot_threshold_sweep

    job.run(plot_threshold_sweep)
