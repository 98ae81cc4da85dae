"""From forks to lifetimes, Kaplan-Meier curves and the survival table."""


rule kaplan_meier:
    input:
        forks=f"{CELL}/rollouts/{{method}}.forks.parquet",
        trajectories=f"{CELL}/rollouts/{{method}}.trajectories.parquet",
        threshold="results/{model}/probe/threshold.json",
    output:
        lifetimes=f"{CELL}/survival/{{method}}.lifetimes.parquet",
        curve=f"{CELL}/survival/{{method}}.curve.parquet",
        summary=f"{CELL}/survival/{{method}}.summary.parquet",
    log:
        "results/logs/kaplan_meier/{model}.{behavior}.seed{seed}.{method}.log",
    conda:
        ENV
    params:
        settings=settings(
            probe=config["rollout"]["probes"][0],
            window=config["rollout"]["window"],
            forks=config["rollout"]["forks"],
            confidence=config["survival"]["confidence"],
        ),
        code=code("kaplan_meier"),
    message:
        "Estimate survival under {wildcards.method}"
    script:
        "../workflow_scripts/kaplan_meier.py"


rule tabulate_logrank:
    input:
        lifetimes=study_methods(f"{CELL}/survival/{{method}}.lifetimes.parquet"),
    output:
        csv="results/tables/logrank.csv",
        html=report(
            "results/tables/logrank.html",
            caption="../report/logrank.rst",
            category="Tables",
            labels={"table": "logrank"},
        ),
    log:
        "results/logs/tabulate_logrank.log",
    conda:
        ENV
    params:
        code=code("tabulate_logrank"),
    message:
        "Compare the survival of doses and methods"
    script:
        "../workflow_scripts/tabulate_logrank.py"


rule tabulate_hazards:
    input:
        lifetimes=study_methods(f"{CELL}/survival/{{method}}.lifetimes.parquet"),
    output:
        csv="results/tables/hazards.csv",
        html=report(
            "results/tables/hazards.html",
            caption="../report/hazards.rst",
            category="Tables",
            labels={"table": "hazards"},
        ),
    log:
        "results/logs/tabulate_hazards.log",
    conda:
        ENV
    params:
        settings=settings(
            window=config["rollout"]["window"],
            forks=config["rollout"]["forks"],
            confidence=config["survival"]["confidence"],
        ),
        code=code("tabulate_hazards"),
    message:
        "Fit the hazard of death on dose and method"
    script:
        "../workflow_scripts/tabulate_hazards.py"


rule tabulate_survival:
    input:
        summaries=study_methods(f"{CELL}/survival/{{method}}.summary.parquet"),
    output:
        csv="results/tables/survival.csv",
        html=report(
            "results/tables/survival.html",
            caption="../report/survival_table.rst",
            category="Tables",
            labels={"table": "survival"},
        ),
    log:
        "results/logs/tabulate_survival.log",
    conda:
        ENV
    params:
        code=code("tabulate_survival"),
    message:
        "Tabulate survival"
    script:
        "../workflow_scripts/tabulate_survival.py"
