"""The study, its files, and what every rule shares; no rules."""

import sys
from functools import cache
from pathlib import Path

from snakemake.exceptions import WorkflowError

ROOT = Path(workflow.basedir)
if str(ROOT / "workflow_scripts") not in sys.path:
    sys.path.insert(0, str(ROOT / "workflow_scripts"))

from steerdose.console.run import Told
from steerdose.declarations.index import TABLES
from steerdose.errors import SteerdoseError
from steerdose.flow.digests import code_digest
from steerdose.flow.failures import forget_unfinished
from steerdose.flow.integrity import prepare
from steerdose.flow.orphans import lead
from steerdose.flow.targets import asked, nearest_targets
from steerdose.study.ablations import GROUPS
from steerdose.study.estimate import Estimates
from steerdose.study.load import load_study
from steerdose.study.machine import emulated_training
from steerdose.study.paths import CELL, MODEL
from steerdose.study.plan import Plan, content, state
from steerdose.study.slices import Slices

try:
    study = load_study(config, [*workflow.configfiles[-1:], *workflow.configfiles[:-1]])  # it has config.yaml last
except SteerdoseError as error:
    raise WorkflowError(str(error)) from None
plan = Plan(study)
slices = Slices(study, plan)

ENV = "../envs/cpu.yaml"  # or cuda.yaml; used with --sdm conda only
MODEL_JOB = study.jobs.resources()
BUSY_JOB = {"mem_mb": 4000, "runtime": 60}


wildcard_constraints:
    model=plan.one_of(study.models),
    behavior="[A-Za-z0-9_.-]+",
    seed="[0-9]+",
    method=plan.one_of(study.all_methods),
    entry=plan.one_of(study.methods),
    job=plan.one_of(plan.jobs),
    task=plan.one_of(study.tasks),
    part="[0-9]+",
    sign="positive|negative",
    submodule="[A-Za-z0-9_.-]+",
    group=plan.one_of(GROUPS),
    probes="rolled_out|others",
    alpha=r"-?[0-9]+(\.[0-9]+)?",


def model_threads(wildcards):
    """Return the threads of a job that runs the model: jobs.threads, or all cores where jobs run on this machine."""
    threads = study.jobs.threads or workflow.resource_settings.cores
    if not threads and not workflow.local_exec:
        raise WorkflowError(
            "jobs.threads: a cluster has no number of cores to share out; say how many a job that runs the model is to "
            "get, for example jobs: {threads: 8} in a file given with --configfile"
        )
    return threads or 1


def tell_the_logger(jobs):
    """Tell `--logger steerdose` what the jobs of a run are expected to take."""
    if Told.wanted:
        Told.planned = {job.jobid: Told.expect(job.rule.name, job.wildcards) for job in jobs if job.log}


gpus = workflow.global_resources.get("gpu")
Told.expect = Estimates(plan, workflow.resource_settings.cores, gpus and gpus.value).of
digest_once = cache(code_digest)


def code(script):
    """Return what gives the digest of the modules that a script computes with; editing one of them reruns its rule.

    A function, since every job's process reads the rules, and needs the digest of none but its own.
    """
    return lambda w: digest_once(ROOT / "workflow_scripts" / f"{script}.py")


def caption(table):
    """Return what gives the text above a table's page; a function, since the text may hold braces."""
    return lambda w: TABLES[table].caption


def targets():
    """Return the files that `rule all` makes."""
    published = [rule for rule in workflow.rules if rule.name.startswith(("tabulate_", "plot_"))]
    asked = {
        "ablations.smk": study.ablations.methods,
        "subspaces.smk": (*study.subspaces.methods, *study.subspaces.causal),
    }
    final = [rule for rule in published if asked.get(Path(rule.snakefile).name, True)]
    return [*(path for rule in final for path in rule.output), *plan.each_cell(f"{CELL}/reading.html")]


def check_command():
    """Stop at a target that no rule makes, with the nearest names, and prepare the files of a run."""
    prompts = [name for name, method in study.all_methods.items() if not method.has_dose]
    command = asked(sys.argv)
    problems = nearest_targets(list(workflow.rules), command.targets, targets(), prompts)
    if problems:
        raise WorkflowError(problems)
    if command.does != "look":
        prepare(Path("results"), dry=command.does == "plan")
        if workflow.local_exec and (slow := emulated_training(study)):
            print(slow, file=sys.stderr)
