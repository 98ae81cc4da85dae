"""Resolve a model's source to a local directory, once."""


rule resolve_model:
    input:
        local_source,
    output:
        directory(MODEL),
    log:
        "results/logs/resolve_model/{model}.log",
    benchmark:
        "results/benchmarks/resolve_model/{model}.tsv"
    conda:
        ENV
    threads: workflow.cores
    resources:
        mem_mb=4000,
        runtime=60,
    params:
        settings=lambda w: settings(**{k: v for k, v in config["models"][w.model].items() if k != "dtype"}),
        code=code("resolve_model"),
    message:
        "Resolve model {wildcards.model}"
    script:
        "../workflow_scripts/resolve_model.py"
