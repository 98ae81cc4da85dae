"""Read activations under opposite personas, once for all estimators."""

from steerdose.flow.jobs import open_job

with open_job(snakemake) as job:
    from steerdose.make.captures import capture_activations

    job.run(capture_activations)
