"""Write pairs.parquet: one prompt x persona x sample, with the responses under both personas."""

from steerdose.flow.jobs import open_job

with open_job(snakemake) as job:
    from steerdose.make.pairs import generate_pairs

    job.run(generate_pairs)
