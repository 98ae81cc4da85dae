"""Write the model's directory: weights, config, tokenizer, and source.json."""

from steerdose.flow.jobs import open_job

with open_job(snakemake) as job:
    from steerdose.model.sources import resolve_model

    job.run(resolve_model)
