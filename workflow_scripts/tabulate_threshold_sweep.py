"""Tabulate lethal doses and ranks at many thresholds of death."""

from steerdose.flow.jobs import open_job

with open_job(snakemake) as job:
    from steerdose.engine.fork_grid import fork_times
    from steerdose.files import read_json, read_tables, write_table
    from steerdose.tables.publish import write_csv, write_html
    from steerdose.tables.threshold_sweep import CAPTION, sweep_texts, threshold_sweep

    probe, models = job.settings["probe"], job.settings["models"]
    medians = {m: read_json(path)[probe]["median_pmass"] for m, path in zip(models, job.input.thresholds, strict=True)}
    forks = read_tables(job.input.forks).filter(probe=probe, reading="steered")
    times = fork_times(job.settings["window"], **job.settings["forks"])
    sweep = job.settings["sweep"]
    shares, doses = threshold_sweep(forks, read_tables(job.input.trajectories), medians, times=times, **sweep)
    write_table(shares, job.output.shares)
    write_table(doses, job.output.table)
    write_csv(doses, job.output.csv)
    write_html(sweep_texts(doses), job.output.html, title="Threshold sweep", caption=CAPTION, n_names=5)
