"""Resolve a model's source to a local directory, once; and how fast this machine runs it, for `make plan`."""


rule resolve_model:
    input:
        plan.model_files,
    output:
        directory=directory(MODEL),
    log:
        "results/logs/resolve_model/{model}.log",
    benchmark:
        "results/benchmarks/resolve_model/{model}.tsv"
    conda:
        ENV
    threads: model_threads
    resources:
        **BUSY_JOB,
    params:
        settings=slices.resolve_model,
        data=lambda w: state(plan.model_files(w)),
        code=code("resolve_model"),
    message:
        "Resolve model {wildcards.model}"
    script:
        "../workflow_scripts/resolve_model.py"


rule measure_speed:
    input:
        model=MODEL,
    output:
        speed="results/{model}/speed.json",
    log:
        "results/logs/measure_speed/{model}.log",
    conda:
        ENV
    threads: model_threads
    resources:
        **MODEL_JOB,
    params:
        settings=slices.measure_speed,
        threads=lambda wildcards, threads: threads,
        code=code("measure_speed"),
    message:
        "Measure how fast this machine runs {wildcards.model}"
    script:
        "../workflow_scripts/measure_speed.py"
