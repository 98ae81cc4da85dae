"""Fit the hazard of death on dose and method."""

from steerdose.flow.jobs import open_job

with open_job(snakemake) as job:
    from steerdose.engine.fork_grid import fork_times
    from steerdose.files import read_tables
    from steerdose.survival.hazards import CAPTION, hazard_table
    from steerdose.tables.publish import write_csv, write_html

    times = fork_times(job.settings["window"], **job.settings["forks"])
    frame = hazard_table(read_tables(job.input.lifetimes), times, job.settings["confidence"])
    write_csv(frame, job.output.csv)
    write_html(frame, job.output.html, title="Hazards", caption=CAPTION, n_names=8)
