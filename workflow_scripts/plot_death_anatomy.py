"""Draw how trajectories died: by the KL before their deaths, and by what broke."""

from steerdose.flow.jobs import open_job

with open_job(snakemake) as job:
    from steerdose.figures.death_anatomy import death_anatomy_figure
    from steerdose.figures.style import save
    from steerdose.files import read_table
    from steerdose.tables.deaths import deaths_table

    save(death_anatomy_figure(deaths_table(read_table(job.input.deaths))), job.output.png, job.output.svg)
