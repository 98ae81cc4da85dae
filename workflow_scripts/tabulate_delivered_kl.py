"""Write the KL of the rollouts themselves by method and dose."""

from steerdose.flow.jobs import open_job

with open_job(snakemake) as job:
    from steerdose.tables.delivered_kl import tabulate_delivered_kl

    job.run(tabulate_delivered_kl)
