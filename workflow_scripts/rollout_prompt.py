"""Roll questions out behind a system prompt, with the KL and the probe along the way."""

from steerdose.flow.jobs import open_job

with open_job(snakemake) as job:
    from steerdose.outcomes.trajectories import rollout_trajectories

    rollout_trajectories(
        model=job.input.model,
        system_prompts=job.input.system_prompts,
        questions=job.input.questions,
        cell=job.cell,
        settings=job.settings,
        tokens=job.output.tokens,
        trajectories=job.output.trajectories,
        forks=job.output.forks,
    )
