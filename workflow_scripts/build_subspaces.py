"""Write bases.safetensors, {subspace}.{block}: (width, columns), and what is told of each of them."""

from steerdose.flow.jobs import open_job

with open_job(snakemake) as job:
    from steerdose.subspaces.build import build_subspaces

    job.run(build_subspaces)
