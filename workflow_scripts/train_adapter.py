"""Train one sign of an adapter."""

from steerdose.flow.jobs import open_job

with open_job(snakemake) as job:
    from steerdose.make.adapters import train_adapter

    train_adapter(
        model=job.input.model,
        pairs=job.input.pairs,
        cell=job.cell,
        sign=job.wildcards["sign"],
        settings=job.settings,
        adapter=job.output.adapter,
        losses=job.output.losses,
    )
