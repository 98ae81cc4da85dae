"""Find the coefficient of dose 1 for both signs."""

from steerdose.flow.jobs import open_job

with open_job(snakemake) as job:
    from steerdose.dose.calibrate import calibrate_alpha

    job.run(calibrate_alpha)
