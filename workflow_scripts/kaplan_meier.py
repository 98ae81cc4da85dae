"""Write the lifetimes of a method's trajectories by every endpoint, their curves, summaries and prevalence."""

from steerdose.flow.jobs import open_job

with open_job(snakemake) as job:
    from steerdose.survival.survive import kaplan_meier

    job.run(kaplan_meier)
