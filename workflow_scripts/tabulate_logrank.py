"""Compare the survival of doses and methods."""

from steerdose.flow.jobs import open_job

with open_job(snakemake) as job:
    from steerdose.files import read_tables
    from steerdose.survival.logrank import CAPTION, logrank_table
    from steerdose.tables.publish import write_csv, write_html

    frame = logrank_table(read_tables(job.input.lifetimes))
    write_csv(frame, job.output.csv)
    write_html(frame, job.output.html, title="Log-rank tests", caption=CAPTION, n_names=7)
