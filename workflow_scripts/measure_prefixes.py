"""Measure the texts of a method's trajectories, and their KL up to every fork."""

from steerdose.jobs import open_job

with open_job(snakemake) as job:
    from steerdose.prefixes import measure_prefixes, measure_texts
    from steerdose.tables import read_table, write_table

    tokens = read_table(job.input.tokens)
    write_table(measure_prefixes(tokens, read_table(job.input.forks), **job.settings), job.output.prefixes)
    write_table(measure_texts(tokens, read_table(job.input.trajectories)), job.output.texts)
