"""What a job that failed leaves to the next run."""

from typing import Any


def forget_unfinished(workflow: Any) -> None:
    """Take back the records of the jobs that failed or were stopped in this run, so that the next one makes them again.

    A failed job is recorded with its new params and inputs like one that succeeded, while its outputs are deleted, or
    put back as they were. A later run would find nothing changed, and call an old figure up to date whose intermediates
    are gone: files that are missing behind a file that is there do not count. A record without params differs from
    every job, so the job runs again wherever it is needed. Nothing is deleted, and nothing else runs again.
    """
    records = workflow.persistence
    for job in workflow.scheduler.failed | workflow.scheduler.running:
        for path in job.output:
            record = records.metadata(path)
            if record is not None:
                record.params = []
                records._write_record(records._get_key(path), record)
