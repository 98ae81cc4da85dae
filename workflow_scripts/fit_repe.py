"""Fit an activation method to persona-conditioned prompts."""

from steerdose.flow.jobs import open_job

with open_job(snakemake) as job:
    from steerdose.make.repe import fit_repe

    fit_repe(
        model=job.input.model,
        pairs=job.input.pairs,
        cell=job.cell,
        settings=job.settings,
        metadata=job.metadata,
        output=job.output.steering,
        geometry=job.output.geometry,
    )
