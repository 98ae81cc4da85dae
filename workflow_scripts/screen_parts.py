"""Read every part of a method's edits that the ways of one group make, and write two tables."""

from steerdose.flow.jobs import open_job

with open_job(snakemake) as job:
    from steerdose.ablation.screen import screen_parts

    job.run(screen_parts)
