"""Turn a positive and a negative adapter into one steering."""

from steerdose.flow.jobs import open_job

with open_job(snakemake) as job:
    from steerdose.make.delta import merge_diff

    merge_diff(
        model=job.input.model,
        positive=job.input.positive,
        negative=job.input.negative,
        method=job.wildcards["method"],
        mode=job.settings["method"]["delta"],
        metadata=job.metadata,
        output=job.output.steering,
        geometry_json=job.output.geometry,
    )
