"""Tabulate the death events that text and KL tell, and how far they agree with the probe's."""

from steerdose.flow.jobs import open_job

with open_job(snakemake) as job:
    from steerdose.tables.death_events import tabulate_death_events

    job.run(tabulate_death_events)
