"""Stands in for the Slurm plugin where there is no Slurm: a remote executor with its name that takes no job."""

from dataclasses import dataclass, field

from snakemake_interface_executor_plugins.executors.remote import RemoteExecutor
from snakemake_interface_executor_plugins.settings import CommonSettings, ExecutorSettingsBase

common_settings = CommonSettings(non_local_exec=True, implies_no_shared_fs=False, job_deploy_sources=False)


@dataclass
class ExecutorSettings(ExecutorSettingsBase):
    status_command: str = field(default="", metadata={"help": "how the state of jobs is asked for"})


class Executor(RemoteExecutor):
    def run_job(self, job):
        raise NotImplementedError(f"{job.rule.name} with {job.threads} threads and {dict(job.resources)}")

    async def check_active_jobs(self, active_jobs):
        for job in active_jobs:
            yield job

    def cancel_jobs(self, active_jobs):
        pass
