"""Write steering/{entry}.safetensors and its geometry.json."""

from steerdose.flow.jobs import open_job

with open_job(snakemake) as job:
    from steerdose.make.fit import fit_repe

    job.run(fit_repe)
