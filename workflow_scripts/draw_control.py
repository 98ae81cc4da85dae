"""Draw a random control of another method's steering."""

from steerdose.flow.jobs import open_job

with open_job(snakemake) as job:
    from steerdose.make.controls import draw_control

    draw_control(
        steering=job.input.steering,
        cell=job.cell,
        settings=job.settings,
        metadata=job.metadata,
        output=job.output.steering,
        geometry=job.output.geometry,
    )
