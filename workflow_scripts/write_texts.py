"""Write the greedy texts of every method of a job at all doses, on a part of the task's prompts."""

from steerdose.flow.jobs import open_job

with open_job(snakemake) as job:
    from steerdose.outcomes.writing import write_texts

    job.run(write_texts)
