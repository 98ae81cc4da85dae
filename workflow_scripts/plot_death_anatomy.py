"""Draw how trajectories died: by the KL before their deaths, and by what broke."""

from steerdose.jobs import open_job

with open_job(snakemake) as job:
    from steerdose.death_anatomy import deaths_table
    from steerdose.death_anatomy_figure import death_anatomy_figure
    from steerdose.figures import save
    from steerdose.tables import read_table

    save(death_anatomy_figure(deaths_table(read_table(job.input.deaths))), job.output.png, job.output.svg)
