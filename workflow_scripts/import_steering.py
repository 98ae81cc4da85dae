"""Import a steering that was made elsewhere."""

from steerdose.flow.jobs import open_job

with open_job(snakemake) as job:
    from steerdose.exchange.read import import_steering

    import_steering(
        model=job.input.model,
        cell=job.cell,
        settings=job.settings["method"],
        metadata=job.metadata,
        output=job.output.steering,
        geometry=job.output.geometry,
    )
