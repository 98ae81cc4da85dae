"""Cut another method's steering into parts."""

from steerdose.flow.jobs import open_job

with open_job(snakemake) as job:
    from steerdose.make.parts import make_parts

    job.run(make_parts)
