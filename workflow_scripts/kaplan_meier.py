"""Write the lifetimes of a method's trajectories by the deciding probe, their curves and their summary."""

from steerdose.flow.jobs import open_job

with open_job(snakemake) as job:
    from steerdose.survival.kaplan_meier import kaplan_meier

    job.run(kaplan_meier)
