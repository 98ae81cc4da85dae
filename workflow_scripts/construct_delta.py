"""Write steering/{entry}.safetensors, one rank-one delta a block, and its geometry.json."""

from steerdose.flow.jobs import open_job

with open_job(snakemake) as job:
    from steerdose.make.construct import construct_delta

    job.run(construct_delta)
