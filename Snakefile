"""How strongly can a language model be steered before it breaks? See README.md."""

from snakemake.utils import min_version

min_version("9.27")


configfile: "config.yaml"


report: "report/workflow.rst"


include: "rules/common.smk"
include: "rules/models.smk"
include: "rules/pairs.smk"
include: "rules/steering.smk"
include: "rules/dose.smk"
include: "rules/rollouts.smk"
include: "rules/scores.smk"
include: "rules/ablations.smk"
include: "rules/subspaces.smk"
include: "rules/survival.smk"
include: "rules/benefit.smk"
include: "rules/tables.smk"
include: "rules/figures.smk"
include: "rules/pages.smk"
include: "rules/export.smk"


rule all:
    default_target: True
    input:
        targets(),
        "results/start.rst",
        "results/provenance.html",


rule speed:
    input:
        plan.each_model("results/{model}/speed.json"),


check_command()


onstart:
    if workflow.local_exec:
        lead()
    tell_the_logger(workflow.dag.needrun_jobs())


onerror:
    forget_unfinished(workflow)
