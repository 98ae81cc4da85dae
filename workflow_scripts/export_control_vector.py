"""Write a steering at one dose as a llama.cpp control vector."""

from steerdose.jobs import open_job

with open_job(snakemake) as job:
    from steerdose.export import export_control_vector

    export_control_vector(
        model=job.input.model,
        steering=job.input.steering,
        calibration=job.input.calibration,
        alpha=float(job.wildcards["alpha"]),
        output=job.output[0],
    )
