"""Tabulate deaths by what broke and by the KL before them."""

from steerdose.flow.jobs import open_job

with open_job(snakemake) as job:
    from steerdose.files import read_tables, write_table
    from steerdose.tables.deaths import DEATHS_CAPTION, death_histories, deaths_table
    from steerdose.tables.publish import write_csv, write_html

    deaths = death_histories(read_tables(job.input.lifetimes), read_tables(job.input.prefixes), **job.settings)
    table = deaths_table(deaths)
    write_table(deaths, job.output.deaths)
    write_csv(table, job.output.csv)
    write_html(table, job.output.html, title="Deaths", caption=DEATHS_CAPTION)
