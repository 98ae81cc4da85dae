"""Measure a method's trajectories, their texts and their KL: up to every fork, and as a whole."""

from steerdose.flow.jobs import open_job

with open_job(snakemake) as job:
    from steerdose.files import read_table, write_table
    from steerdose.outcomes.prefixes import measure_trajectories

    names = ("tokens", "forks", "trajectories")
    prefixes, texts = measure_trajectories(*[read_table(job.input[name]) for name in names], **job.settings)
    write_table(prefixes, job.output.prefixes)
    write_table(texts, job.output.texts)
