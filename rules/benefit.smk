"""What the steering bought and what it cost: effects, the recommended dose, and their pictures."""


rule tabulate_effects:
    input:
        scores=plan.all_scores(),
    output:
        table="results/tables/effects.parquet",
        csv="results/tables/effects.csv",
        html=report(
            "results/tables/effects.html",
            caption="../report/effects_table.rst",
            category="Benefit",
            labels={"table": "effects"},
        ),
    log:
        "results/logs/tabulate_effects.log",
    conda:
        ENV
    params:
        settings=slices.tabulate_effects,
        caption=caption("effects"),
        code=code("tabulate_effects"),
    message:
        "Tabulate what every dose changes on every task"
    script:
        "../workflow_scripts/tabulate_effects.py"


rule tabulate_specificity:
    input:
        scores=plan.all_scores(),
        delivered="results/tables/delivered_kl.parquet",
    output:
        csv="results/tables/specificity.csv",
        html=report(
            "results/tables/specificity.html",
            caption="../report/specificity_table.rst",
            category="Benefit",
            labels={"table": "specificity"},
        ),
    log:
        "results/logs/tabulate_specificity.log",
    conda:
        ENV
    params:
        settings=slices.tabulate_specificity,
        caption=caption("specificity"),
        code=code("tabulate_specificity"),
    message:
        "Compare effects with those of random pushes"
    script:
        "../workflow_scripts/tabulate_specificity.py"


rule tabulate_dose:
    input:
        scores=plan.all_scores(benefit=True),
        effects="results/tables/effects.parquet",
        lifetimes=plan.each(f"{CELL}/survival/{{method}}.lifetimes.parquet"),
        lethal="results/tables/dose_response.parquet",
        shares="results/tables/dose_shares.parquet",
        delivered="results/tables/delivered_kl.parquet",
    output:
        curves="results/tables/effect_curves.parquet",
        table="results/tables/dose.parquet",
        csv="results/tables/dose.csv",
        html=report(
            "results/tables/dose.html",
            caption="../report/dose_table.rst",
            category="Benefit",
            labels={"table": "dose"},
        ),
    log:
        "results/logs/tabulate_dose.log",
    conda:
        ENV
    params:
        settings=slices.tabulate_dose,
        caption=caption("dose"),
        code=code("tabulate_dose"),
    message:
        "Recommend a dose of every method"
    script:
        "../workflow_scripts/tabulate_dose.py"


rule tabulate_contrasts:
    input:
        scores=plan.all_scores(benefit=True),
        doses="results/tables/dose.parquet",
    output:
        table="results/tables/contrasts.parquet",
        csv="results/tables/contrasts.csv",
        html=report(
            "results/tables/contrasts.html",
            caption="../report/contrasts_table.rst",
            category="Benefit",
            labels={"table": "contrasts"},
        ),
    log:
        "results/logs/tabulate_contrasts.log",
    conda:
        ENV
    params:
        settings=slices.tabulate_contrasts,
        caption=caption("contrasts"),
        code=code("tabulate_contrasts"),
    message:
        "Compare what methods buy, over all seeds"
    script:
        "../workflow_scripts/tabulate_contrasts.py"


rule tabulate_claims:
    input:
        contrasts="results/tables/contrasts.parquet",
    output:
        csv="results/tables/claims.csv",
        html=report(
            "results/tables/claims.html",
            caption="../report/claims_table.rst",
            category="Benefit",
            labels={"table": "claims"},
        ),
    log:
        "results/logs/tabulate_claims.log",
    conda:
        ENV
    params:
        settings=slices.tabulate_claims,
        caption=caption("claims"),
        code=code("tabulate_claims"),
    message:
        "Say what the study may claim"
    script:
        "../workflow_scripts/tabulate_claims.py"


rule plot_therapeutic:
    input:
        curves="results/tables/effect_curves.parquet",
        table="results/tables/dose.parquet",
        shares="results/tables/dose_shares.parquet",
    output:
        png=report(
            "results/figs/therapeutic.png",
            caption="../report/therapeutic.rst",
            category="Benefit",
            labels={"figure": "therapeutic"},
        ),
        svg="results/figs/therapeutic.svg",
    log:
        "results/logs/plot_therapeutic.log",
    conda:
        ENV
    params:
        settings=slices.panels,
        code=code("plot_therapeutic"),
    message:
        "Draw effect and survival on one axis of dose"
    script:
        "../workflow_scripts/plot_therapeutic.py"


rule plot_frontier:
    input:
        effects="results/tables/effects.parquet",
        shares="results/tables/dose_shares.parquet",
    output:
        png=report(
            "results/figs/frontier.png",
            caption="../report/frontier.rst",
            category="Benefit",
            labels={"figure": "frontier"},
        ),
        svg="results/figs/frontier.svg",
    log:
        "results/logs/plot_frontier.log",
    conda:
        ENV
    params:
        settings=slices.plot_frontier,
        code=code("plot_frontier"),
    message:
        "Draw effect against damage"
    script:
        "../workflow_scripts/plot_frontier.py"
