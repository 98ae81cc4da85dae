"""Which parts of a trained delta are necessary, and which are enough: a target of its own, `make ablations`."""


rule share_bases:
    input:
        steerings=plan.families,
    output:
        bases=f"{CELL}/ablations/bases.safetensors",
        angles=f"{CELL}/ablations/angles.parquet",
    log:
        "results/logs/share_bases/{model}.{behavior}.seed{seed}.log",
    benchmark:
        "results/benchmarks/share_bases/{model}.{behavior}.seed{seed}.tsv"
    conda:
        ENV
    threads: model_threads
    resources:
        **BUSY_JOB,
    params:
        settings=slices.share_bases,
        code=code("share_bases"),
    message:
        "Find what adapter families write in common"
    script:
        "../workflow_scripts/share_bases.py"


rule screen_parts:
    input:
        model=MODEL,
        steering=lambda w: plan.steering(w)[0],
        doses=lambda w: plan.search(w)[1],
        bases=plan.screened_bases,
        reference="results/{model}/reference/tokens.parquet",
        questions=study.data.questions,
        data=plan.screened_items,
    output:
        parts=f"{CELL}/ablations/{{method}}.{{group}}.parts.parquet",
        scores=f"{CELL}/ablations/{{method}}.{{group}}.scores.parquet",
    log:
        "results/logs/screen_parts/{model}.{behavior}.seed{seed}.{method}.{group}.log",
    benchmark:
        "results/benchmarks/screen_parts/{model}.{behavior}.seed{seed}.{method}.{group}.tsv"
    conda:
        ENV
    threads: model_threads
    resources:
        **MODEL_JOB,
    params:
        settings=slices.screen_parts,
        data=lambda w: content(plan.screened_items(w)),
        code=code("screen_parts"),
    message:
        "Read the parts of {wildcards.method}, {wildcards.group}"
    script:
        "../workflow_scripts/screen_parts.py"


rule tabulate_ablations:
    input:
        parts=plan.screened("parts"),
        scores=plan.screened("scores"),
    output:
        table="results/tables/ablations.parquet",
        csv="results/tables/ablations.csv",
        html=report(
            "results/tables/ablations.html",
            caption="../report/ablations_table.rst",
            category="Ablations",
            labels={"table": "ablations"},
        ),
    log:
        "results/logs/tabulate_ablations.log",
    conda:
        ENV
    params:
        settings=slices.tabulate_ablations,
        caption=caption("ablations"),
        code=code("tabulate_ablations"),
    message:
        "Tabulate what parts of deltas retain, remove and break"
    script:
        "../workflow_scripts/tabulate_ablations.py"


rule tabulate_ablation_claims:
    input:
        ablations="results/tables/ablations.parquet",
    output:
        csv="results/tables/ablation_claims.csv",
        html=report(
            "results/tables/ablation_claims.html",
            caption="../report/ablation_claims_table.rst",
            category="Ablations",
            labels={"table": "ablation_claims"},
        ),
    log:
        "results/logs/tabulate_ablation_claims.log",
    conda:
        ENV
    params:
        caption=caption("ablation_claims"),
        code=code("tabulate_ablation_claims"),
    message:
        "Say where the effect of a delta is"
    script:
        "../workflow_scripts/tabulate_ablation_claims.py"


rule plot_retained:
    input:
        ablations="results/tables/ablations.parquet",
    output:
        png=report(
            "results/figs/retained.png",
            caption="../report/retained.rst",
            category="Ablations",
            labels={"figure": "retained"},
        ),
        svg="results/figs/retained.svg",
    log:
        "results/logs/plot_retained.log",
    conda:
        ENV
    params:
        code=code("plot_retained"),
    message:
        "Draw what parts retain against their energy"
    script:
        "../workflow_scripts/plot_retained.py"


rule plot_layer_map:
    input:
        ablations="results/tables/ablations.parquet",
    output:
        png=report(
            "results/figs/layer_map.png",
            caption="../report/layer_map.rst",
            category="Ablations",
            labels={"figure": "layer_map"},
        ),
        svg="results/figs/layer_map.svg",
    log:
        "results/logs/plot_layer_map.log",
    conda:
        ENV
    params:
        code=code("plot_layer_map"),
    message:
        "Draw what single layers keep, and what is left without them"
    script:
        "../workflow_scripts/plot_layer_map.py"


rule plot_keep_drop:
    input:
        ablations="results/tables/ablations.parquet",
    output:
        png=report(
            "results/figs/keep_drop.png",
            caption="../report/keep_drop.rst",
            category="Ablations",
            labels={"figure": "keep_drop"},
        ),
        svg="results/figs/keep_drop.svg",
    log:
        "results/logs/plot_keep_drop.log",
    conda:
        ENV
    params:
        code=code("plot_keep_drop"),
    message:
        "Draw what parts keep against what their loss removes"
    script:
        "../workflow_scripts/plot_keep_drop.py"


rule plot_parts:
    input:
        ablations="results/tables/ablations.parquet",
    output:
        png=report(
            "results/figs/parts.png",
            caption="../report/parts.rst",
            category="Ablations",
            labels={"figure": "parts"},
        ),
        svg="results/figs/parts.svg",
    log:
        "results/logs/plot_parts.log",
    conda:
        ENV
    params:
        code=code("plot_parts"),
    message:
        "Draw what parts retain, with intervals"
    script:
        "../workflow_scripts/plot_parts.py"


rule plot_angles:
    input:
        angles=plan.angles(),
    output:
        png=report(
            "results/figs/angles.png",
            caption="../report/angles.rst",
            category="Ablations",
            labels={"figure": "angles"},
        ),
        svg="results/figs/angles.svg",
    log:
        "results/logs/plot_angles.log",
    conda:
        ENV
    params:
        code=code("plot_angles"),
    message:
        "Draw how far families write into the same directions"
    script:
        "../workflow_scripts/plot_angles.py"


rule plot_screening:
    input:
        ablations="results/tables/ablations.parquet",
        effects="results/tables/effects.parquet",
    output:
        png=report(
            "results/figs/screening.png",
            caption="../report/screening.rst",
            category="Ablations",
            labels={"figure": "screening"},
        ),
        svg="results/figs/screening.svg",
    log:
        "results/logs/plot_screening.log",
    conda:
        ENV
    params:
        settings=slices.plot_screening,
        code=code("plot_screening"),
    message:
        "Draw whether the screen predicts what parts do to written texts"
    script:
        "../workflow_scripts/plot_screening.py"
