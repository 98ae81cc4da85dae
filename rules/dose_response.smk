"""Which dose kills and which is safe, from survival at the window; and how much that hangs on the threshold of death."""


rule tabulate_dose_response:
    input:
        curves=study_methods(f"{CELL}/survival/{{method}}.curve.parquet"),
        lifetimes=study_methods(f"{CELL}/survival/{{method}}.lifetimes.parquet"),
    output:
        shares="results/tables/dose_shares.parquet",
        table="results/tables/dose_response.parquet",
        csv="results/tables/dose_response.csv",
        html=report(
            "results/tables/dose_response.html",
            caption="../report/dose_response_table.rst",
            category="Tables",
            labels={"table": "dose_response"},
        ),
    log:
        "results/logs/tabulate_dose_response.log",
    conda:
        ENV
    params:
        settings=settings(
            confidence=config["survival"]["confidence"],
            safe_level=config["survival"]["safe_level"],
        ),
        code=code("tabulate_dose_response"),
    message:
        "Tabulate lethal and safe doses"
    script:
        "../workflow_scripts/tabulate_dose_response.py"


rule plot_dose_response:
    input:
        shares="results/tables/dose_shares.parquet",
        table="results/tables/dose_response.parquet",
    output:
        png=report(
            "results/figs/dose_response.png",
            caption="../report/dose_response.rst",
            category="Dose",
            labels={"figure": "dose_response"},
        ),
        svg="results/figs/dose_response.svg",
    log:
        "results/logs/plot_dose_response.log",
    conda:
        ENV
    params:
        code=code("plot_dose_response"),
    message:
        "Draw the share dead against the dose"
    script:
        "../workflow_scripts/plot_dose_response.py"


rule plot_lethal_dose:
    input:
        shares="results/tables/dose_shares.parquet",
        table="results/tables/dose_response.parquet",
    output:
        png=report(
            "results/figs/lethal_dose.png",
            caption="../report/lethal_dose.rst",
            category="Dose",
            labels={"figure": "lethal_dose"},
        ),
        svg="results/figs/lethal_dose.svg",
    log:
        "results/logs/plot_lethal_dose.log",
    conda:
        ENV
    params:
        code=code("plot_lethal_dose"),
    message:
        "Draw lethal and safe doses side by side"
    script:
        "../workflow_scripts/plot_lethal_dose.py"


rule tabulate_threshold_sweep:
    input:
        forks=study_methods(f"{CELL}/rollouts/{{method}}.forks.parquet"),
        trajectories=study_methods(f"{CELL}/rollouts/{{method}}.trajectories.parquet"),
        thresholds=expand("results/{model}/probe/threshold.json", model=STUDY["models"]),
    output:
        shares="results/tables/threshold_shares.parquet",
        table="results/tables/threshold_sweep.parquet",
        csv="results/tables/threshold_sweep.csv",
        html=report(
            "results/tables/threshold_sweep.html",
            caption="../report/threshold_sweep_table.rst",
            category="Tables",
            labels={"table": "threshold_sweep"},
        ),
    log:
        "results/logs/tabulate_threshold_sweep.log",
    conda:
        ENV
    params:
        settings=settings(
            models=STUDY["models"],
            probe=config["rollout"]["probes"][0],
            window=config["rollout"]["window"],
            forks=config["rollout"]["forks"],
            sweep={
                **config["survival"]["threshold"],
                "values": config["survival"]["threshold_sweep"],
                "confidence": config["survival"]["confidence"],
                "safe_level": config["survival"]["safe_level"],
            },
        ),
        code=code("tabulate_threshold_sweep"),
    message:
        "Tabulate lethal doses by threshold"
    script:
        "../workflow_scripts/tabulate_threshold_sweep.py"


rule plot_threshold_sweep:
    input:
        shares="results/tables/threshold_shares.parquet",
        table="results/tables/threshold_sweep.parquet",
    output:
        png=report(
            "results/figs/threshold_sweep.png",
            caption="../report/threshold_sweep.rst",
            category="Instrument",
            labels={"figure": "threshold_sweep"},
        ),
        svg="results/figs/threshold_sweep.svg",
    log:
        "results/logs/plot_threshold_sweep.log",
    conda:
        ENV
    params:
        code=code("plot_threshold_sweep"),
    message:
        "Draw who is dead by dose and threshold"
    script:
        "../workflow_scripts/plot_threshold_sweep.py"
