"""Write what may be said of where each delta's effect is: over all seeds, where there are several."""

from steerdose.flow.jobs import open_job

with open_job(snakemake) as job:
    from steerdose.tables.ablation_claims import tabulate_ablation_claims

    job.run(tabulate_ablation_claims)
