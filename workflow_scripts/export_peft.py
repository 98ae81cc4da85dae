"""Write the folder of a PEFT LoRA adapter: adapter_config.json and adapter_model.safetensors."""

from steerdose.flow.jobs import open_job

with open_job(snakemake) as job:
    from steerdose.exchange.write import export_peft

    job.run(export_peft)
