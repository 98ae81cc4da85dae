"""A steering at one dose, for others to load or to judge; none of it is part of `rule all`, ask for the file that you want."""

EXPORT = "results/export/{model}.{behavior}.seed{seed}.{method}.alpha{alpha}"
EXPORTED = {
    "model": MODEL,
    "steering": plan.steering,
    "calibration": f"{CELL}/calibration/{{method}}.json",
}


rule export_peft:
    input:
        **EXPORTED,
    output:
        folder=directory(f"{EXPORT}/peft"),
    log:
        "results/logs/export_peft/{model}.{behavior}.seed{seed}.{method}.alpha{alpha}.log",
    wildcard_constraints:
        method=plan.one_of(plan.with_dose),
    conda:
        ENV
    resources:
        **BUSY_JOB,
    params:
        code=code("export_peft"),
    message:
        "Export {wildcards.method} at alpha {wildcards.alpha} as a PEFT adapter"
    script:
        "../workflow_scripts/export_peft.py"


rule export_model:
    input:
        **EXPORTED,
    output:
        folder=directory(f"{EXPORT}/model"),
    log:
        "results/logs/export_model/{model}.{behavior}.seed{seed}.{method}.alpha{alpha}.log",
    wildcard_constraints:
        method=plan.one_of(plan.with_dose),
    conda:
        ENV
    resources:
        **BUSY_JOB,
    params:
        code=code("export_model"),
    message:
        "Merge {wildcards.method} at alpha {wildcards.alpha} into {wildcards.model}"
    script:
        "../workflow_scripts/export_model.py"


rule export_control_vector:
    input:
        **EXPORTED,
    output:
        vector=f"{EXPORT}/control_vector.gguf",
    log:
        "results/logs/export_control_vector/{model}.{behavior}.seed{seed}.{method}.alpha{alpha}.log",
    wildcard_constraints:
        method=plan.one_of(plan.with_dose),
    conda:
        ENV
    resources:
        **BUSY_JOB,
    params:
        code=code("export_control_vector"),
    message:
        "Export {wildcards.method} at alpha {wildcards.alpha} as a control vector"
    script:
        "../workflow_scripts/export_control_vector.py"


rule write_card:
    input:
        **EXPORTED,
        summary=f"{CELL}/survival/{{method}}.summary.parquet",
        curve=f"{CELL}/survival/{{method}}.curve.parquet",
        recommended=plan.recommended,
    output:
        card=f"{EXPORT}/card.md",
        dose=f"{EXPORT}/dose.json",
    log:
        "results/logs/write_card/{model}.{behavior}.seed{seed}.{method}.alpha{alpha}.log",
    wildcard_constraints:
        method=plan.one_of(plan.with_dose),
    conda:
        ENV
    resources:
        **BUSY_JOB,
    params:
        settings=slices.write_card,
        code=code("write_card"),
    message:
        "Write the card of {wildcards.method} at alpha {wildcards.alpha}"
    script:
        "../workflow_scripts/write_card.py"


rule run_lm_eval:
    input:
        **EXPORTED,
        tasks=plan.lm_eval_files,
    output:
        result=f"{CELL}/lm_eval/{{method}}.alpha{{alpha}}.{{task}}.json",
    log:
        "results/logs/run_lm_eval/{model}.{behavior}.seed{seed}.{method}.alpha{alpha}.{task}.log",
    benchmark:
        "results/benchmarks/run_lm_eval/{model}.{behavior}.seed{seed}.{method}.alpha{alpha}.{task}.tsv"
    wildcard_constraints:
        method=plan.one_of(plan.with_dose),
        task="[A-Za-z0-9_.+-]+",
    conda:
        ENV
    threads: model_threads
    resources:
        **MODEL_JOB,
    params:
        settings=slices.run_lm_eval,
        data=lambda w: content(plan.lm_eval_files(w)),
        code=code("run_lm_eval"),
    message:
        "Run lm-eval's {wildcards.task} under {wildcards.method} at alpha {wildcards.alpha}"
    script:
        "../workflow_scripts/run_lm_eval.py"
