"""Estimate survival from the forks of a method's trajectories."""

from steerdose.flow.jobs import open_job

with open_job(snakemake) as job:
    from steerdose.engine.fork_grid import fork_times
    from steerdose.files import read_json, read_table, write_table
    from steerdose.survival.kaplan_meier import kaplan_meier
    from steerdose.survival.lifetimes import lifetimes

    window, probe = job.settings["window"], job.settings["probe"]
    threshold = read_json(job.input.threshold)[probe]["threshold"]
    forks = read_table(job.input.forks).filter(probe=probe)
    lives = lifetimes(forks, read_table(job.input.trajectories), threshold, window)
    times = fork_times(window, **job.settings["forks"])
    curve, summary = kaplan_meier(lives, times, job.settings["confidence"])
    write_table(lives, job.output.lifetimes)
    write_table(curve, job.output.curve)
    write_table(summary, job.output.summary)
