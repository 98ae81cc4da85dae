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
