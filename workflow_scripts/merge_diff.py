"""Write steering/{entry}.safetensors, the delta of a key of `MODES`, and its geometry.json."""

from steerdose.flow.jobs import open_job

with open_job(snakemake) as job:
    from steerdose.make.delta import merge_diff

    job.run(merge_diff)
