"""Write captures/{submodule}.safetensors: last-token activations of the module in all blocks, both personas."""

from steerdose.flow.jobs import open_job

with open_job(snakemake) as job:
    from steerdose.make.captures import capture_activations

    job.run(capture_activations)
