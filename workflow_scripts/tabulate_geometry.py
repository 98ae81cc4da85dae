"""Write the geometry of all methods as CSV and HTML."""

from steerdose.jobs import open_job

with open_job(snakemake) as job:
    from steerdose.geometry_table import CAPTION, geometry_table, seed_cosines
    from steerdose.report_tables import write_csv, write_html

    cells = job.settings["cells"]
    frame = geometry_table(cells, job.input.geometry).with_columns(seed_cosines(cells, job.input.steerings))
    write_csv(frame, job.output.csv)
    write_html(frame, job.output.html, title="Geometry", caption=CAPTION, n_names=5)
