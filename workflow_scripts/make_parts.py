"""Write steering/{entry}.safetensors, which holds the edits of all parts, and its geometry.json."""

from steerdose.flow.jobs import open_job

with open_job(snakemake) as job:
    from steerdose.make.parts import make_parts

    job.run(make_parts)
