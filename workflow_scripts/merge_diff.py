"""Turn a positive and a negative adapter into one steering."""

from steerdose.flow.jobs import open_job

with open_job(snakemake) as job:
    from steerdose.make.delta import merge_diff

    job.run(merge_diff)
