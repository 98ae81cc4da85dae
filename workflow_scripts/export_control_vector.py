"""Write control_vector.gguf."""

from steerdose.flow.jobs import open_job

with open_job(snakemake) as job:
    from steerdose.exchange.write import export_control_vector

    job.run(export_control_vector)
