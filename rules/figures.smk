"""Pictures across methods, from tables alone."""


rule plot_survival:
    input:
        curves=study_methods(f"{CELL}/survival/{{method}}.curve.parquet"),
    output:
        png="results/figs/survival.png",
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


rule plot_spaghetti:
    input:
        tokens=study_methods(f"{CELL}/rollouts/{{method}}.tokens.parquet"),
        lifetimes=study_methods(f"{CELL}/survival/{{method}}.lifetimes.parquet"),
        calibrations=study_methods(f"{CELL}/calibration/{{method}}.parquet"),
    output:
        png="results/figs/spaghetti.png",
        svg="results/figs/spaghetti.svg",
    log:
        "results/logs/plot_spaghetti.log",
    conda:
        ENV
    params:
        code=code("plot_spaghetti"),
    message:
        "Draw the KL of every trajectory"
    script:
        "../workflow_scripts/plot_spaghetti.py"


rule plot_calibration:
    input:
        tables=study_methods(f"{CELL}/calibration/{{method}}.parquet"),
    output:
        png="results/figs/calibration.png",
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
        png="results/figs/training.png",
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
