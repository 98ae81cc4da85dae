"""Directions that can be named before training: do they hold what training changes?"""


rule capture_sites:
    input:
        model=MODEL,
        pairs=f"{CELL}/pairs.parquet",
    output:
        sites=f"{CELL}/subspaces/sites.safetensors",
    log:
        "results/logs/capture_sites/{model}.{behavior}.seed{seed}.log",
    benchmark:
        "results/benchmarks/capture_sites/{model}.{behavior}.seed{seed}.tsv"
    conda:
        ENV
    threads: model_threads
    resources:
        **MODEL_JOB,
    params:
        settings=slices.capture_sites,
        code=code("capture_sites"),
    message:
        "Capture what hypotheses are built of"
    script:
        "../workflow_scripts/capture_sites.py"


rule build_subspaces:
    input:
        model=MODEL,
        sites=f"{CELL}/subspaces/sites.safetensors",
    output:
        bases=f"{CELL}/subspaces/bases.safetensors",
        told=f"{CELL}/subspaces/bases.parquet",
    log:
        "results/logs/build_subspaces/{model}.{behavior}.seed{seed}.log",
    benchmark:
        "results/benchmarks/build_subspaces/{model}.{behavior}.seed{seed}.tsv"
    conda:
        ENV
    threads: model_threads
    resources:
        **BUSY_JOB,
    params:
        settings=slices.build_subspaces,
        code=code("build_subspaces"),
    message:
        "Build the bases of all hypotheses"
    script:
        "../workflow_scripts/build_subspaces.py"


rule sweep_subspaces:
    input:
        model=MODEL,
        steering=lambda w: plan.steering(w)[0],
        doses=lambda w: plan.search(w)[1],
        bases=f"{CELL}/subspaces/bases.safetensors",
        told=f"{CELL}/subspaces/bases.parquet",
        prompts=study.data.prompts,
    output:
        scores=f"{CELL}/subspaces/{{method}}.scores.parquet",
        summary=f"{CELL}/subspaces/{{method}}.summary.parquet",
        recovered=f"{CELL}/subspaces/{{method}}.prompts.parquet",
    log:
        "results/logs/sweep_subspaces/{model}.{behavior}.seed{seed}.{method}.log",
    benchmark:
        "results/benchmarks/sweep_subspaces/{model}.{behavior}.seed{seed}.{method}.tsv"
    conda:
        ENV
    threads: model_threads
    resources:
        **MODEL_JOB,
    params:
        settings=slices.sweep_subspaces,
        data=lambda w: content([study.data.prompts]),
        code=code("sweep_subspaces"),
    message:
        "Look for what {wildcards.method} changes in all subspaces"
    script:
        "../workflow_scripts/sweep_subspaces.py"


rule tabulate_subspaces:
    input:
        summaries=plan.swept("summary"),
        prompts=plan.swept("prompts"),
    output:
        table="results/tables/subspaces.parquet",
        csv="results/tables/subspaces.csv",
        html=report(
            "results/tables/subspaces.html",
            caption="../report/subspaces_table.rst",
            category="Subspaces",
            labels={"table": "subspaces"},
        ),
    log:
        "results/logs/tabulate_subspaces.log",
    conda:
        ENV
    params:
        settings=slices.tabulate_subspaces,
        caption=caption("subspaces"),
        code=code("tabulate_subspaces"),
    message:
        "Tabulate what hypotheses recover of deltas"
    script:
        "../workflow_scripts/tabulate_subspaces.py"


rule plot_subspaces:
    input:
        subspaces="results/tables/subspaces.parquet",
    output:
        png=report(
            "results/figs/subspaces.png",
            caption="../report/subspaces.rst",
            category="Subspaces",
            labels={"figure": "subspaces"},
        ),
        svg="results/figs/subspaces.svg",
    log:
        "results/logs/plot_subspaces.log",
    conda:
        ENV
    params:
        code=code("plot_subspaces"),
    message:
        "Draw what hypotheses recover of deltas"
    script:
        "../workflow_scripts/plot_subspaces.py"


rule tabulate_subspace_parts:
    input:
        parts=plan.caused("parts"),
        scores=plan.caused("scores"),
    output:
        table="results/tables/subspace_parts.parquet",
        csv="results/tables/subspace_parts.csv",
        html=report(
            "results/tables/subspace_parts.html",
            caption="../report/subspace_parts_table.rst",
            category="Subspaces",
            labels={"table": "subspace_parts"},
        ),
    log:
        "results/logs/tabulate_subspace_parts.log",
    conda:
        ENV
    params:
        settings=slices.tabulate_subspace_parts,
        caption=caption("subspace_parts"),
        code=code("tabulate_subspace_parts"),
    message:
        "Tabulate what parts in subspaces retain, remove and break"
    script:
        "../workflow_scripts/tabulate_subspace_parts.py"


rule tabulate_subspace_claims:
    input:
        subspaces="results/tables/subspaces.parquet",
        parts="results/tables/subspace_parts.parquet",
    output:
        csv="results/tables/subspace_claims.csv",
        html=report(
            "results/tables/subspace_claims.html",
            caption="../report/subspace_claims_table.rst",
            category="Subspaces",
            labels={"table": "subspace_claims"},
        ),
    log:
        "results/logs/tabulate_subspace_claims.log",
    conda:
        ENV
    params:
        caption=caption("subspace_claims"),
        code=code("tabulate_subspace_claims"),
    message:
        "Say what directions known before training hold"
    script:
        "../workflow_scripts/tabulate_subspace_claims.py"


rule plot_subspace_stability:
    input:
        subspaces="results/tables/subspaces.parquet",
    output:
        png=report(
            "results/figs/subspace_stability.png",
            caption="../report/subspace_stability.rst",
            category="Subspaces",
            labels={"figure": "subspace_stability"},
        ),
        svg="results/figs/subspace_stability.svg",
    log:
        "results/logs/plot_subspace_stability.log",
    conda:
        ENV
    params:
        code=code("plot_subspace_stability"),
    message:
        "Draw whether hypotheses keep their order over seeds"
    script:
        "../workflow_scripts/plot_subspace_stability.py"


rule plot_subspace_layers:
    input:
        scores=plan.swept("scores"),
    output:
        png=report(
            "results/figs/subspace_layers.png",
            caption="../report/subspace_layers.rst",
            category="Subspaces",
            labels={"figure": "subspace_layers"},
        ),
        svg="results/figs/subspace_layers.svg",
    log:
        "results/logs/plot_subspace_layers.log",
    conda:
        ENV
    params:
        code=code("plot_subspace_layers"),
    message:
        "Draw in which blocks hypotheses hold"
    script:
        "../workflow_scripts/plot_subspace_layers.py"


rule plot_subspace_effects:
    input:
        subspaces="results/tables/subspaces.parquet",
        parts="results/tables/subspace_parts.parquet",
    output:
        png=report(
            "results/figs/subspace_effects.png",
            caption="../report/subspace_effects.rst",
            category="Subspaces",
            labels={"figure": "subspace_effects"},
        ),
        svg="results/figs/subspace_effects.svg",
    log:
        "results/logs/plot_subspace_effects.log",
    conda:
        ENV
    params:
        code=code("plot_subspace_effects"),
    message:
        "Draw whether scores predict effects"
    script:
        "../workflow_scripts/plot_subspace_effects.py"
