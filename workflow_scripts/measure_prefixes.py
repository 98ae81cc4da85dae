"""Write what text and KL say of a method's trajectories, up to every fork and as a whole."""

from steerdose.flow.jobs import open_job

with open_job(snakemake) as job:
    from steerdose.outcomes.prefixes import measure_prefixes

    job.run(measure_prefixes)
