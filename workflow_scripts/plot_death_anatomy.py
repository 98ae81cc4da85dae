"""Draw `death_anatomy_figure` of the deaths by the deciding endpoint, which comes first."""

from steerdose.flow.jobs import open_job

with open_job(snakemake) as job:
    from steerdose.figures.death_anatomy import plot_death_anatomy

    job.run(plot_death_anatomy)
