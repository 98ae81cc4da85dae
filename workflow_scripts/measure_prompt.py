"""Measure how far a system prompt takes the model from itself."""

from steerdose.flow.jobs import open_job

with open_job(snakemake) as job:
    from steerdose.dose.calibrate import measure_prompt

    measure_prompt(
        model=job.input.model,
        prompts=job.input.prompts,
        system_prompts=job.input.system_prompts,
        cell=job.cell,
        settings=job.settings,
        table=job.output.table,
        summary=job.output.summary,
    )
