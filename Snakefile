"""How strongly can a language model be steered before it breaks? See README.md."""

from snakemake.utils import min_version

min_version("9.27")


configfile: "config.yaml"


include: "rules/common.smk"
include: "rules/models.smk"
include: "rules/pairs.smk"
include: "rules/steering.smk"
include: "rules/dose.smk"
include: "rules/prompts.smk"
include: "rules/survival.smk"
include: "rules/probes.smk"
include: "rules/figures.smk"
include: "rules/tables.smk"
include: "rules/aggregation.smk"
include: "rules/export.smk"


rule all:
    default_target: True
    input:
        study_results(),
