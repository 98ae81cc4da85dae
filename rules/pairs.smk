"""Answers of the model itself under opposite personas."""


rule generate_pairs:
    input:
        model=MODEL,
        prompts=config["data"]["prompts"],
        personas=config["data"]["personas"],
    output:
        f"{CELL}/pairs.parquet",
    log:
        "results/logs/generate_pairs/{model}.{behavior}.seed{seed}.log",
    benchmark:
        "results/benchmarks/generate_pairs/{model}.{behavior}.seed{seed}.tsv"
    conda:
        ENV
    threads: workflow.cores
    resources:
        **GPU,
    params:
        settings=lambda w: model_settings(w.model, **config["pairs"]),
        code=code("generate_pairs"),
    message:
        "Sample pairs for {wildcards.behavior}"
    script:
        "../workflow_scripts/generate_pairs.py"
