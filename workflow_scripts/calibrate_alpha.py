"""Find c_star of both signs for every method of a job, with one loaded model."""

from steerdose.flow.jobs import open_job

with open_job(snakemake) as job:
    from steerdose.dose.calibrate import calibrate_alpha

    job.run(calibrate_alpha)
