"""Write the counts of all death events, and the agreement of each two of them."""

from steerdose.flow.jobs import open_job

with open_job(snakemake) as job:
    from steerdose.tables.death_events import tabulate_death_events

    job.run(tabulate_death_events)
