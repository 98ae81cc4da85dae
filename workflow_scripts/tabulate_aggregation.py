"""Compare the statistics of KL, on simulated students and on the study's rollouts."""

from steerdose.flow.jobs import open_job

with open_job(snakemake) as job:
    from steerdose.files import read_tables, write_table
    from steerdose.tables.aggregation import CAPTION, aggregation_table, read_histories
    from steerdose.tables.publish import write_csv, write_html

    frame = aggregation_table(read_histories(job.input.tokens), read_tables(job.input.lifetimes), **job.settings)
    write_table(frame, job.output.table)
    write_csv(frame, job.output.csv)
    write_html(frame, job.output.html, title="Aggregation", caption=CAPTION, n_names=1)
