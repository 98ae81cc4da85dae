"""Write the survival table as CSV and HTML."""

from steerdose.flow.jobs import open_job

with open_job(snakemake) as job:
    from steerdose.files import read_tables
    from steerdose.tables.publish import SURVIVAL_CAPTION, survival_texts, write_csv, write_html

    summary = read_tables(job.input.summaries)
    write_csv(summary, job.output.csv)
    write_html(survival_texts(summary), job.output.html, title="Survival", caption=SURVIVAL_CAPTION)
