"""Which coefficient is dose 1, and what is it on prompts that did not set it."""


rule calibrate_alpha:
    input:
        model=MODEL,
        steering=plan.steering,
        prompts=study.data.prompts,
        system_prompts=plan.system_prompts,
        references=plan.references,
    output:
        table=f"{CELL}/calibration/jobs/{{job}}.search.parquet",
        summary=f"{CELL}/calibration/jobs/{{job}}.search.json",
        doses=f"{CELL}/calibration/jobs/{{job}}.doses.parquet",
    log:
        "results/logs/calibrate_alpha/{model}.{behavior}.seed{seed}.{job}.log",
    benchmark:
        "results/benchmarks/calibrate_alpha/{model}.{behavior}.seed{seed}.{job}.tsv"
    conda:
        ENV
    threads: model_threads
    resources:
        **MODEL_JOB,
    params:
        settings=slices.calibrate_alpha,
        data=lambda w: content([study.data.prompts, *plan.system_prompts(w)]),
        code=code("calibrate_alpha"),
    message:
        "Calibrate {wildcards.job}"
    script:
        "../workflow_scripts/calibrate_alpha.py"


rule audit_dose:
    input:
        model=MODEL,
        steering=plan.steering,
        search=plan.search,
        prompts=study.data.prompts,
        system_prompts=plan.system_prompts,
    output:
        tokens=f"{CELL}/calibration/jobs/{{job}}.audit{{part}}.parquet",
    log:
        "results/logs/audit_dose/{model}.{behavior}.seed{seed}.{job}.{part}.log",
    benchmark:
        "results/benchmarks/audit_dose/{model}.{behavior}.seed{seed}.{job}.{part}.tsv"
    conda:
        ENV
    threads: model_threads
    resources:
        **MODEL_JOB,
    params:
        settings=slices.audit_dose,
        data=lambda w: content([study.data.prompts, *plan.system_prompts(w)]),
        code=code("audit_dose"),
    message:
        "Audit the dose of {wildcards.job}"
    script:
        "../workflow_scripts/audit_dose.py"


rule gather_calibration:
    input:
        search=plan.search,
        audits=plan.audits,
    output:
        table=f"{CELL}/calibration/{{method}}.parquet",
        summary=f"{CELL}/calibration/{{method}}.json",
    log:
        "results/logs/gather_calibration/{model}.{behavior}.seed{seed}.{method}.log",
    conda:
        ENV
    params:
        settings=slices.gather_calibration,
        code=code("gather_calibration"),
    message:
        "Gather the calibration of {wildcards.method}"
    script:
        "../workflow_scripts/gather_calibration.py"
