"""Write the table of the probes, for figures and readers."""

from steerdose.flow.jobs import open_job

with open_job(snakemake) as job:
    from steerdose.files import write_table
    from steerdose.tables.probes import PROBES_CAPTION, probes_table
    from steerdose.tables.publish import write_csv, write_html

    files = {name: list(job.input[name]) for name in ("audits", "thresholds", "forks", "trajectories")}
    table = probes_table(**files, **job.settings)
    write_table(table, job.output.table)
    write_csv(table, job.output.csv)
    write_html(table, job.output.html, title="Probes", caption=PROBES_CAPTION, n_names=2)
