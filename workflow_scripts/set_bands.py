"""Write the bands of every endpoint of kind text, and how often texts that did not set them ring."""

from steerdose.flow.jobs import open_job

with open_job(snakemake) as job:
    from steerdose.outcomes.bands import set_bands

    job.run(set_bands)
