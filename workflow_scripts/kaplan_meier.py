"""Estimate survival from the forks of a method's trajectories."""

from steerdose.jobs import open_job

with open_job(snakemake) as job:
    from steerdose.fork_grid import fork_times
    from steerdose.lifetimes import lifetimes
    from steerdose.survival import kaplan_meier
    from steerdose.tables import read_json, read_table, write_table

    window, probe = job.settings["window"], job.settings["probe"]
    threshold = read_json(job.input.threshold)[probe]["threshold"]
    forks = read_table(job.input.forks).filter(probe=probe)
    lives = lifetimes(forks, read_table(job.input.trajectories), threshold, window)
    times = fork_times(window, **job.settings["forks"])
    curve, summary = kaplan_meier(lives, times, job.settings["confidence"])
    write_table(lives, job.output.lifetimes)
    write_table(curve, job.output.curve)
    write_table(summary, job.output.summary)
