"""Set the pmass under which a trajectory counts as dead."""

from steerdose.jobs import open_job

with open_job(snakemake) as job:
    from steerdose.survival import set_threshold
    from steerdose.tables import read_json, write_json

    write_json(set_threshold(read_json(job.input[0])["median_pmass"], **job.settings), job.output[0])
