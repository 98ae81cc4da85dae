"""Write card.md and dose.json for one alpha of one method."""

from steerdose.flow.jobs import open_job

with open_job(snakemake) as job:
    from steerdose.exchange.card import write_card

    job.run(write_card)
