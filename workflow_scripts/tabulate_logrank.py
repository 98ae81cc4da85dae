"""Compare the survival of doses and methods."""

from steerdose.jobs import open_job

with open_job(snakemake) as job:
    from steerdose.comparisons import CAPTION, logrank_table
    from steerdose.report_tables import write_csv, write_html
    from steerdose.tables import read_tables

    frame = logrank_table(read_tables(job.input.lifetimes))
    write_csv(frame, job.output.csv)
    write_html(frame, job.output.html, title="Log-rank tests", caption=CAPTION, n_names=7)
