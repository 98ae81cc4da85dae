"""Write the table of the probes, for figures and readers."""

from steerdose.jobs import open_job

with open_job(snakemake) as job:
    from steerdose.probes_table import PROBES_CAPTION, probes_table
    from steerdose.report_tables import write_csv, write_html
    from steerdose.tables import write_table

    files = {name: list(job.input[name]) for name in ("audits", "thresholds", "forks", "trajectories")}
    table = probes_table(**files, **job.settings)
    write_table(table, job.output.table)
    write_csv(table, job.output.csv)
    write_html(table, job.output.html, title="Probes", caption=PROBES_CAPTION, n_names=2)
