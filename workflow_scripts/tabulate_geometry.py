"""Write the geometry of all steerings; steerings: a file a method of the settings, in their order."""

from steerdose.flow.jobs import open_job

with open_job(snakemake) as job:
    from steerdose.tables.geometry import tabulate_geometry

    job.run(tabulate_geometry)
