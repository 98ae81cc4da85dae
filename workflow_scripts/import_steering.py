"""Write steering/{entry}.safetensors, made from files of another tool, and its geometry.json."""

from steerdose.flow.jobs import open_job

with open_job(snakemake) as job:
    from steerdose.exchange.read import import_steering

    job.run(import_steering)
