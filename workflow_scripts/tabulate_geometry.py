"""Write the geometry of all methods as CSV and HTML."""

from steerdose.flow.jobs import open_job

with open_job(snakemake) as job:
    from steerdose.tables.geometry import tabulate_geometry

    job.run(tabulate_geometry)
