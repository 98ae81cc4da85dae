"""Write the geometry of all methods as CSV and HTML."""

from steerdose.flow.jobs import open_job

with open_job(snakemake) as job:
    from steerdose.tables.geometry import CAPTION, geometry_table, seed_cosines
    from steerdose.tables.publish import write_csv, write_html

    cells = job.settings["cells"]
    frame = geometry_table(cells, job.input.geometry).with_columns(seed_cosines(cells, job.input.steerings))
    write_csv(frame, job.output.csv)
    write_html(frame, job.output.html, title="Geometry", caption=CAPTION, n_names=5)
