"""Tabulate what became of the texts."""

from steerdose.flow.jobs import open_job

with open_job(snakemake) as job:
    from steerdose.files import read_tables
    from steerdose.tables.deaths import TEXTS_CAPTION, texts_table
    from steerdose.tables.publish import write_csv, write_html

    table = texts_table(read_tables(job.input.texts))
    write_csv(table, job.output.csv)
    write_html(table, job.output.html, title="Texts", caption=TEXTS_CAPTION)
