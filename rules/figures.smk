"""Pictures across methods, from tables alone."""


rule plot_survival:
    input:
        curves=study_methods(f"{CELL}/survival/{{method}}.curve.parquet"),
    output:
        png=report(
            "results/figs/survival.png",
            caption="../report/survival.rst",
            category="Survival",
            labels={"figure": "survival"},
        ),
        svg="results/figs/survival.svg",
    log:
        "results/logs/plot_survival.log",
    conda:
        ENV
    params:
        code=code("plot_survival"),
    message:
        "Draw survival"
    script:
        "../workflow_scripts/plot_survival.py"


rule plot_survival_by_dose:
    input:
        curves=study_methods(f"{CELL}/survival/{{method}}.curve.parquet"),
    output:
        png=report(
            "results/figs/survival_by_dose.png",
            caption="../report/survival_by_dose.rst",
            category="Survival",
            labels={"figure": "survival_by_dose"},
        ),
        svg="results/figs/survival_by_dose.svg",
    log:
        "results/logs/plot_survival_by_dose.log",
    conda:
        ENV
    params:
        code=code("plot_survival_by_dose"),
    message:
        "Draw survival of the methods at each dose"
    script:
        "../workflow_scripts/plot_survival_by_dose.py"


rule plot_spaghetti:
    input:
        tokens=study_methods(f"{CELL}/rollouts/{{method}}.tokens.parquet"),
        lifetimes=study_methods(f"{CELL}/survival/{{method}}.lifetimes.parquet"),
        calibrations=study_methods(f"{CELL}/calibration/{{method}}.parquet"),
    output:
        png=report(
            "results/figs/spaghetti.png",
            caption="../report/spaghetti.rst",
            category="Deaths",
            labels={"figure": "spaghetti"},
        ),
        svg="results/figs/spaghetti.svg",
    log:
        "results/logs/plot_spaghetti.log",
    conda:
        ENV
    params:
        settings=settings(**config["figures"]),
        code=code("plot_spaghetti"),
    message:
        "Draw the KL of every trajectory"
    script:
        "../workflow_scripts/plot_spaghetti.py"


rule plot_spaghetti_normalised:
    input:
        tokens=study_methods(f"{CELL}/rollouts/{{method}}.tokens.parquet"),
        lifetimes=study_methods(f"{CELL}/survival/{{method}}.lifetimes.parquet"),
    output:
        png=report(
            "results/figs/spaghetti_normalised.png",
            caption="../report/spaghetti_normalised.rst",
            category="Deaths",
            labels={"figure": "spaghetti_normalised"},
        ),
        svg="results/figs/spaghetti_normalised.svg",
    log:
        "results/logs/plot_spaghetti_normalised.log",
    conda:
        ENV
    params:
        settings=settings(**config["figures"], head=config["deaths"]["head"]),
        code=code("plot_spaghetti_normalised"),
    message:
        "Draw the KL of every trajectory over its own beginning"
    script:
        "../workflow_scripts/plot_spaghetti_normalised.py"


rule plot_kl_fan:
    input:
        tokens=study_methods(f"{CELL}/rollouts/{{method}}.tokens.parquet"),
        lifetimes=study_methods(f"{CELL}/survival/{{method}}.lifetimes.parquet"),
    output:
        png=report(
            "results/figs/kl_fan.png",
            caption="../report/kl_fan.rst",
            category="Deaths",
            labels={"figure": "kl_fan"},
        ),
        svg="results/figs/kl_fan.svg",
    log:
        "results/logs/plot_kl_fan.log",
    conda:
        ENV
    params:
        settings=settings(window=config["rollout"]["window"], fewest=config["figures"]["fewest"]),
        code=code("plot_kl_fan"),
    message:
        "Draw quantiles of KL along the rollout"
    script:
        "../workflow_scripts/plot_kl_fan.py"


rule plot_aggregate:
    input:
        tokens=study_methods(f"{CELL}/rollouts/{{method}}.tokens.parquet"),
        lifetimes=study_methods(f"{CELL}/survival/{{method}}.lifetimes.parquet"),
        forks=study_methods(f"{CELL}/rollouts/{{method}}.forks.parquet"),
        thresholds=expand("results/{model}/probe/threshold.json", model=STUDY["models"]),
    output:
        png=report(
            "results/figs/aggregate.png",
            caption="../report/aggregate.rst",
            category="Deaths",
            labels={"figure": "aggregate"},
        ),
        svg="results/figs/aggregate.svg",
    log:
        "results/logs/plot_aggregate.log",
    conda:
        ENV
    params:
        settings=settings(
            models=STUDY["models"],
            probe=config["rollout"]["probes"][0],
            window=config["rollout"]["window"],
            forks=config["rollout"]["forks"],
            fewest=config["figures"]["fewest"],
        ),
        code=code("plot_aggregate"),
    message:
        "Draw KL above the probe"
    script:
        "../workflow_scripts/plot_aggregate.py"


rule plot_calibration:
    input:
        tables=study_methods(f"{CELL}/calibration/{{method}}.parquet"),
    output:
        png=report(
            "results/figs/calibration.png",
            caption="../report/calibration.rst",
            category="Dose",
            labels={"figure": "calibration"},
        ),
        svg="results/figs/calibration.svg",
    log:
        "results/logs/plot_calibration.log",
    conda:
        ENV
    params:
        settings=settings(
            tolerance=config["calibration"]["tolerance"],
            statistic=config["calibration"]["statistic"],
        ),
        code=code("plot_calibration"),
    message:
        "Draw the calibration paths"
    script:
        "../workflow_scripts/plot_calibration.py"


rule plot_training:
    input:
        losses=trained_losses(),
    output:
        png=report(
            "results/figs/training.png",
            caption="../report/training.rst",
            category="Dose",
            labels={"figure": "training"},
        ),
        svg="results/figs/training.svg",
    log:
        "results/logs/plot_training.log",
    conda:
        ENV
    params:
        code=code("plot_training"),
    message:
        "Draw the training losses"
    script:
        "../workflow_scripts/plot_training.py"
