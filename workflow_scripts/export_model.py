"""Merge a steering at one dose into the model."""

from steerdose.flow.jobs import open_job

with open_job(snakemake) as job:
    from steerdose.exchange.write import export_model

    export_model(
        model=job.input.model,
        steering=job.input.steering,
        calibration=job.input.calibration,
        alpha=float(job.wildcards["alpha"]),
        output=job.output[0],
    )
