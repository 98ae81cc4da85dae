"""From forks to lifetimes and Kaplan-Meier curves; what can be known of a trajectory without asking the model."""


rule set_threshold:
    input:
        audit="results/{model}/probe/rolled_out.json",
        texts="results/{model}/probe/rolled_out.texts.json",
    output:
        threshold="results/{model}/probe/threshold.json",
    log:
        "results/logs/set_threshold/{model}.log",
    priority: 100
    conda:
        ENV
    params:
        settings=slices.set_threshold,
        code=code("set_threshold"),
    message:
        "Set the threshold of death for {wildcards.model}"
    script:
        "../workflow_scripts/set_threshold.py"


rule set_bands:
    input:
        tokens="results/{model}/reference/tokens.parquet",
    output:
        bands="results/{model}/reference/bands.json",
    log:
        "results/logs/set_bands/{model}.log",
    conda:
        ENV
    params:
        settings=slices.set_bands,
        code=code("set_bands"),
    message:
        "Set the bands of sound text for {wildcards.model}"
    script:
        "../workflow_scripts/set_bands.py"


rule kaplan_meier:
    input:
        tokens=f"{CELL}/rollouts/{{method}}.tokens.parquet",
        forks=f"{CELL}/rollouts/{{method}}.forks.parquet",
        trajectories=f"{CELL}/rollouts/{{method}}.trajectories.parquet",
        threshold="results/{model}/probe/threshold.json",
        bands="results/{model}/reference/bands.json",
        search=plan.search,
    output:
        lifetimes=f"{CELL}/survival/{{method}}.lifetimes.parquet",
        curve=f"{CELL}/survival/{{method}}.curve.parquet",
        summary=f"{CELL}/survival/{{method}}.summary.parquet",
        prevalence=f"{CELL}/survival/{{method}}.prevalence.parquet",
    log:
        "results/logs/kaplan_meier/{model}.{behavior}.seed{seed}.{method}.log",
    conda:
        ENV
    params:
        settings=slices.kaplan_meier,
        code=code("kaplan_meier"),
    message:
        "Estimate survival under {wildcards.method}"
    script:
        "../workflow_scripts/kaplan_meier.py"


rule measure_prefixes:
    input:
        tokens=f"{CELL}/rollouts/{{method}}.tokens.parquet",
        trajectories=f"{CELL}/rollouts/{{method}}.trajectories.parquet",
        forks=f"{CELL}/rollouts/{{method}}.forks.parquet",
    output:
        prefixes=f"{CELL}/deaths/{{method}}.prefixes.parquet",
        texts=f"{CELL}/deaths/{{method}}.texts.parquet",
    log:
        "results/logs/measure_prefixes/{model}.{behavior}.seed{seed}.{method}.log",
    conda:
        ENV
    params:
        settings=slices.measure_prefixes,
        code=code("measure_prefixes"),
    message:
        "Measure texts and KL under {wildcards.method}"
    script:
        "../workflow_scripts/measure_prefixes.py"
