"""Write the card of an export: what dose it is, and what was measured at it."""

from steerdose.flow.jobs import open_job

with open_job(snakemake) as job:
    from steerdose.exchange.card import write_card

    write_card(
        model=job.input.model,
        steering=job.input.steering,
        calibration=job.input.calibration,
        summary=job.input.summary,
        curve=job.input.curve,
        cell=job.cell,
        alpha=float(job.wildcards["alpha"]),
        settings=job.settings,
        output=job.output[0],
    )
