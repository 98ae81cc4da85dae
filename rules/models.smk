"""Resolve a model's source to a local directory, once."""


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
