"""Write a page of trajectories to read: the same questions unsteered, at dose 1 and at the first dying dose."""

from steerdose.flow.jobs import open_job

with open_job(snakemake) as job:
    from steerdose.model.loading import load_tokenizer
    from steerdose.pages.reading import write_reading

    write_reading(
        tokenizer=load_tokenizer(job.input.model),
        tokens=job.input.tokens,
        forks=job.input.forks,
        lifetimes=job.input.lifetimes,
        threshold=job.input.threshold,
        questions=job.input.questions,
        template=job.input.template,
        settings=job.settings,
        output=job.output[0],
    )
