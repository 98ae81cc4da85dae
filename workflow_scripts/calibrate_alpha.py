"""Find the coefficient of dose 1 for both signs."""

from steerdose.flow.jobs import open_job

with open_job(snakemake) as job:
    from steerdose.dose.calibrate import calibrate_alpha

    calibrate_alpha(
        model=job.input.model,
        steering=job.input.steering,
        prompts=job.input.prompts,
        cell=job.cell,
        settings=job.settings,
        table=job.output.table,
        summary=job.output.summary,
        reference=job.input.reference,
    )
