"""Tabulate lethal dose, steepness and safe dose of every method and sign."""

from steerdose.flow.jobs import open_job

with open_job(snakemake) as job:
    from steerdose.files import read_tables, write_table
    from steerdose.survival.dose_response import CAPTION, dose_response, dose_texts
    from steerdose.tables.publish import write_csv, write_html

    shares, table = dose_response(read_tables(job.input.curves), read_tables(job.input.lifetimes), **job.settings)
    write_table(shares, job.output.shares)
    write_table(table, job.output.table)
    write_csv(table, job.output.csv)
    write_html(dose_texts(table), job.output.html, title="Dose and response", caption=CAPTION, n_names=5)
