"""Sample answers to the same prompts under opposite personas."""

from steerdose.flow.jobs import open_job

with open_job(snakemake) as job:
    from steerdose.make.pairs import generate_pairs

    generate_pairs(
        model=job.input.model,
        prompts=job.input.prompts,
        personas=job.input.personas,
        cell=job.cell,
        settings=job.settings,
        output=job.output[0],
    )
