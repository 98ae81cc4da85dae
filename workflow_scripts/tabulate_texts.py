"""Tabulate what became of the texts."""

from steerdose.jobs import open_job

with open_job(snakemake) as job:
    from steerdose.death_anatomy import TEXTS_CAPTION, texts_table
    from steerdose.report_tables import write_csv, write_html
    from steerdose.tables import read_tables

    table = texts_table(read_tables(job.input.texts))
    write_csv(table, job.output.csv)
    write_html(table, job.output.html, title="Texts", caption=TEXTS_CAPTION)
