"""Set the pmass of each probe under which a trajectory counts as dead."""

from steerdose.jobs import open_job

with open_job(snakemake) as job:
    from steerdose.lifetimes import set_thresholds
    from steerdose.tables import read_json, write_json

    write_json(set_thresholds(read_json(job.input[0]), **job.settings), job.output[0])
