"""Write what `measured` returns, with `start`: seconds from the start of a process until the model is loaded."""

from steerdose.flow.jobs import open_job

with open_job(snakemake) as job:
    from steerdose.engine.speed import measure_speed

    job.run(measure_speed)
