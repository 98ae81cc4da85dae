"""Answers of the model itself under opposite personas."""


rule generate_pairs:
    input:
        model=MODEL,
        prompts=study.data.prompts,
        personas=study.data.personas,
    output:
        pairs=f"{CELL}/pairs.parquet",
    log:
        "results/logs/generate_pairs/{model}.{behavior}.seed{seed}.log",
    benchmark:
        "results/benchmarks/generate_pairs/{model}.{behavior}.seed{seed}.tsv"
    conda:
        ENV
    threads: model_threads
    resources:
        **MODEL_JOB,
    params:
        settings=slices.generate_pairs,
        data=content([study.data.prompts, study.data.personas]),
        code=code("generate_pairs"),
    message:
        "Sample pairs for {wildcards.behavior}"
    script:
        "../workflow_scripts/generate_pairs.py"
