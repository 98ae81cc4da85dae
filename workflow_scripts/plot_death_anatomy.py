"""Draw how trajectories died: by the KL before their deaths, and by what broke."""

from steerdose.flow.jobs import open_job

with open_job(snakemake) as job:
    from steerdose.figures.death_anatomy import plot_death_anatomy

    job.run(plot_death_anatomy)
