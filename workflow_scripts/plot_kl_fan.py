"""Draw quantiles of KL along the rollout."""

from steerdose.flow.jobs import open_job

with open_job(snakemake) as job:
    from steerdose.figures.kl_fan import plot_kl_fan

    job.run(plot_kl_fan)
