"""Write what `measured` returns, and `start`: seconds until a process has loaded the model."""

from steerdose.flow.jobs import open_job

with open_job(snakemake) as job:
    from steerdose.engine.speed import measure_speed

    job.run(measure_speed)
