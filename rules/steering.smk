"""Every way to a steering vector: adapters subtracted, edits fitted to activations, random controls, imports."""


rule train_adapter:
    input:
        model=MODEL,
        pairs=f"{CELL}/pairs.parquet",
    output:
        adapter=directory(f"{CELL}/adapters/{{method}}.{{sign}}"),
        losses=f"{CELL}/adapters/{{method}}.{{sign}}.training.parquet",
    log:
        "results/logs/train_adapter/{model}.{behavior}.seed{seed}.{method}.{sign}.log",
    benchmark:
        "results/benchmarks/train_adapter/{model}.{behavior}.seed{seed}.{method}.{sign}.tsv"
    wildcard_constraints:
        method=one_of(methods_of("adapter")),
    conda:
        ENV
    threads: workflow.cores
    resources:
        **GPU,
    params:
        settings=lambda w: model_settings(w.model, method=training_settings(w.method)),
        code=code("train_adapter"),
    message:
        "Train {wildcards.method}, {wildcards.sign} sign"
    script:
        "../workflow_scripts/train_adapter.py"


rule merge_diff:
    input:
        model=MODEL,
        positive=f"{CELL}/adapters/{{method}}.positive",
        negative=f"{CELL}/adapters/{{method}}.negative",
    output:
        steering=f"{CELL}/steering/{{method}}.safetensors",
        geometry=f"{CELL}/steering/{{method}}.geometry.json",
    log:
        "results/logs/merge_diff/{model}.{behavior}.seed{seed}.{method}.log",
    benchmark:
        "results/benchmarks/merge_diff/{model}.{behavior}.seed{seed}.{method}.tsv"
    wildcard_constraints:
        method=one_of(methods_of("adapter")),
    conda:
        ENV
    threads: workflow.cores
    resources:
        mem_mb=4000,
        runtime=60,
    params:
        settings=lambda w: settings(method=steering_settings(w.method)),
        code=code("merge_diff"),
    message:
        "Subtract the adapters of {wildcards.method}"
    script:
        "../workflow_scripts/merge_diff.py"


rule fit_repe:
    input:
        model=MODEL,
        pairs=f"{CELL}/pairs.parquet",
    output:
        steering=f"{CELL}/steering/{{method}}.safetensors",
        geometry=f"{CELL}/steering/{{method}}.geometry.json",
    log:
        "results/logs/fit_repe/{model}.{behavior}.seed{seed}.{method}.log",
    benchmark:
        "results/benchmarks/fit_repe/{model}.{behavior}.seed{seed}.{method}.tsv"
    wildcard_constraints:
        method=one_of(methods_of("activation")),
    conda:
        ENV
    threads: workflow.cores
    resources:
        **GPU,
    params:
        settings=lambda w: model_settings(w.model, method=steering_settings(w.method), **config["repe"]),
        code=code("fit_repe"),
    message:
        "Fit {wildcards.method}"
    script:
        "../workflow_scripts/fit_repe.py"


rule draw_control:
    input:
        steering=controlled_steering,
    output:
        steering=f"{CELL}/steering/{{method}}.safetensors",
        geometry=f"{CELL}/steering/{{method}}.geometry.json",
    log:
        "results/logs/draw_control/{model}.{behavior}.seed{seed}.{method}.log",
    benchmark:
        "results/benchmarks/draw_control/{model}.{behavior}.seed{seed}.{method}.tsv"
    wildcard_constraints:
        method=one_of(methods_of("random")),
    conda:
        ENV
    params:
        settings=lambda w: settings(**steering_settings(w.method)),
        code=code("draw_control"),
    message:
        "Draw {wildcards.method}, a random control"
    script:
        "../workflow_scripts/draw_control.py"


rule import_steering:
    input:
        sources=imported_files,
        model=MODEL,
    output:
        steering=f"{CELL}/steering/{{method}}.safetensors",
        geometry=f"{CELL}/steering/{{method}}.geometry.json",
    log:
        "results/logs/import_steering/{model}.{behavior}.seed{seed}.{method}.log",
    benchmark:
        "results/benchmarks/import_steering/{model}.{behavior}.seed{seed}.{method}.tsv"
    wildcard_constraints:
        method=one_of(methods_of("import")),
    conda:
        ENV
    threads: workflow.cores
    resources:
        mem_mb=4000,
        runtime=60,
    params:
        settings=lambda w: settings(method=steering_settings(w.method)),
        code=code("import_steering"),
    message:
        "Import {wildcards.method}"
    script:
        "../workflow_scripts/import_steering.py"
