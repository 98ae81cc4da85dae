"""Set the pmass of each probe under which a trajectory counts as dead."""

from steerdose.flow.jobs import open_job

with open_job(snakemake) as job:
    from steerdose.files import read_json, write_json
    from steerdose.survival.lifetimes import set_thresholds

    write_json(set_thresholds(read_json(job.input[0]), **job.settings), job.output[0])
