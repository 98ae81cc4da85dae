"""Write the card of an export: what dose it is, and what was measured at it."""

from steerdose.flow.jobs import open_job

with open_job(snakemake) as job:
    from steerdose.exchange.card import write_card

    job.run(write_card)
