"""Write a Hugging Face directory: merged fp32 weights, and the resolved model's tokenizer and other files."""

from steerdose.flow.jobs import open_job

with open_job(snakemake) as job:
    from steerdose.exchange.write import export_model

    job.run(export_model)
