"""Write {job}.audit{part}.parquet: the KL of every token at dose 1 of both signs, of every method of the job."""

from steerdose.flow.jobs import open_job

with open_job(snakemake) as job:
    from steerdose.dose.audit import audit_dose

    job.run(audit_dose)
