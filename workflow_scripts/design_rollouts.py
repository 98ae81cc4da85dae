"""Roll every method of a job out at alpha 0 and at doses that `next_dose` places, and write the three tables."""

from steerdose.flow.jobs import open_job

with open_job(snakemake) as job:
    from steerdose.design.rollouts import design_rollouts

    job.run(design_rollouts)
