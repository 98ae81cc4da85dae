"""Every way to a steering vector: adapters subtracted, edits fitted to activations, controls, imports, parts."""


rule train_adapter:
    input:
        model=MODEL,
        pairs=f"{CELL}/pairs.parquet",
    output:
        adapter=directory(f"{CELL}/adapters/{{entry}}.{{sign}}"),
        losses=f"{CELL}/adapters/{{entry}}.{{sign}}.training.parquet",
    log:
        "results/logs/train_adapter/{model}.{behavior}.seed{seed}.{entry}.{sign}.log",
    benchmark:
        "results/benchmarks/train_adapter/{model}.{behavior}.seed{seed}.{entry}.{sign}.tsv"
    wildcard_constraints:
        entry=plan.one_of(plan.made_by("merge_diff")),
    conda:
        ENV
    threads: model_threads
    resources:
        **MODEL_JOB,
    params:
        settings=slices.train_adapter,
        code=code("train_adapter"),
    message:
        "Train {wildcards.entry}, {wildcards.sign} sign"
    script:
        "../workflow_scripts/train_adapter.py"


rule merge_diff:
    input:
        model=MODEL,
        positive=f"{CELL}/adapters/{{entry}}.positive",
        negative=f"{CELL}/adapters/{{entry}}.negative",
    output:
        steering=f"{CELL}/steering/{{entry}}.safetensors",
        geometry=f"{CELL}/steering/{{entry}}.geometry.json",
    log:
        "results/logs/merge_diff/{model}.{behavior}.seed{seed}.{entry}.log",
    benchmark:
        "results/benchmarks/merge_diff/{model}.{behavior}.seed{seed}.{entry}.tsv"
    wildcard_constraints:
        entry=plan.one_of(plan.made_by("merge_diff")),
    conda:
        ENV
    threads: model_threads
    resources:
        **BUSY_JOB,
    params:
        settings=slices.merge_diff,
        code=code("merge_diff"),
    message:
        "Subtract the adapters of {wildcards.entry}"
    script:
        "../workflow_scripts/merge_diff.py"


rule capture_activations:
    input:
        model=MODEL,
        pairs=f"{CELL}/pairs.parquet",
    output:
        activations=f"{CELL}/captures/{{submodule}}.safetensors",
    log:
        "results/logs/capture_activations/{model}.{behavior}.seed{seed}.{submodule}.log",
    benchmark:
        "results/benchmarks/capture_activations/{model}.{behavior}.seed{seed}.{submodule}.tsv"
    conda:
        ENV
    threads: model_threads
    resources:
        **MODEL_JOB,
    params:
        settings=slices.capture_activations,
        code=code("capture_activations"),
    message:
        "Read activations of {wildcards.submodule}"
    script:
        "../workflow_scripts/capture_activations.py"


rule fit_repe:
    input:
        model=MODEL,
        activations=plan.captured,
    output:
        steering=f"{CELL}/steering/{{entry}}.safetensors",
        geometry=f"{CELL}/steering/{{entry}}.geometry.json",
    log:
        "results/logs/fit_repe/{model}.{behavior}.seed{seed}.{entry}.log",
    benchmark:
        "results/benchmarks/fit_repe/{model}.{behavior}.seed{seed}.{entry}.tsv"
    wildcard_constraints:
        entry=plan.one_of(plan.made_by("fit_repe")),
    conda:
        ENV
    threads: model_threads
    resources:
        **BUSY_JOB,
    params:
        settings=slices.fit_repe,
        code=code("fit_repe"),
    message:
        "Fit {wildcards.entry}"
    script:
        "../workflow_scripts/fit_repe.py"


rule construct_delta:
    input:
        model=MODEL,
        residual=f"{CELL}/captures/residual.safetensors",
        inputs=plan.captured,
    output:
        steering=f"{CELL}/steering/{{entry}}.safetensors",
        geometry=f"{CELL}/steering/{{entry}}.geometry.json",
    log:
        "results/logs/construct_delta/{model}.{behavior}.seed{seed}.{entry}.log",
    benchmark:
        "results/benchmarks/construct_delta/{model}.{behavior}.seed{seed}.{entry}.tsv"
    wildcard_constraints:
        entry=plan.one_of(plan.made_by("construct_delta")),
    conda:
        ENV
    threads: model_threads
    resources:
        **BUSY_JOB,
    params:
        settings=slices.construct_delta,
        code=code("construct_delta"),
    message:
        "Construct {wildcards.entry} without training"
    script:
        "../workflow_scripts/construct_delta.py"


rule draw_control:
    input:
        source=plan.derived_from,
    output:
        steering=f"{CELL}/steering/{{entry}}.safetensors",
        geometry=f"{CELL}/steering/{{entry}}.geometry.json",
    log:
        "results/logs/draw_control/{model}.{behavior}.seed{seed}.{entry}.log",
    benchmark:
        "results/benchmarks/draw_control/{model}.{behavior}.seed{seed}.{entry}.tsv"
    wildcard_constraints:
        entry=plan.one_of(plan.made_by("draw_control")),
    conda:
        ENV
    params:
        settings=slices.draw_control,
        code=code("draw_control"),
    message:
        "Draw {wildcards.entry}, a random control"
    script:
        "../workflow_scripts/draw_control.py"


rule import_steering:
    input:
        sources=plan.imported_files,
        model=MODEL,
    output:
        steering=f"{CELL}/steering/{{entry}}.safetensors",
        geometry=f"{CELL}/steering/{{entry}}.geometry.json",
    log:
        "results/logs/import_steering/{model}.{behavior}.seed{seed}.{entry}.log",
    benchmark:
        "results/benchmarks/import_steering/{model}.{behavior}.seed{seed}.{entry}.tsv"
    wildcard_constraints:
        entry=plan.one_of(plan.made_by("import_steering")),
    conda:
        ENV
    threads: model_threads
    resources:
        **BUSY_JOB,
    params:
        settings=slices.import_steering,
        data=lambda w: state(plan.imported_files(w)),
        code=code("import_steering"),
    message:
        "Import {wildcards.entry}"
    script:
        "../workflow_scripts/import_steering.py"


rule make_parts:
    input:
        source=plan.derived_from,
        weights=plan.part_weights,
        bases=plan.part_bases,
    output:
        steering=f"{CELL}/steering/{{entry}}.safetensors",
        geometry=f"{CELL}/steering/{{entry}}.geometry.json",
    log:
        "results/logs/make_parts/{model}.{behavior}.seed{seed}.{entry}.log",
    benchmark:
        "results/benchmarks/make_parts/{model}.{behavior}.seed{seed}.{entry}.tsv"
    wildcard_constraints:
        entry=plan.one_of(plan.made_by("make_parts")),
    conda:
        ENV
    params:
        settings=slices.make_parts,
        code=code("make_parts"),
    message:
        "Cut {wildcards.entry} into parts"
    script:
        "../workflow_scripts/make_parts.py"
