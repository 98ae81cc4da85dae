"""Which statistic of KL sees what breaks a model."""


rule tabulate_aggregation:
    input:
        tokens=study_methods(f"{CELL}/rollouts/{{method}}.tokens.parquet"),
        lifetimes=study_methods(f"{CELL}/survival/{{method}}.lifetimes.parquet"),
    output:
        table="results/tables/aggregation.parquet",
        csv="results/tables/aggregation.csv",
        html="results/tables/aggregation.html",
    log:
        "results/logs/tabulate_aggregation.log",
    conda:
        ENV
    params:
        settings=settings(confidence=config["survival"]["confidence"]),
        code=code("tabulate_aggregation"),
    message:
        "Compare the statistics of KL"
    script:
        "../workflow_scripts/tabulate_aggregation.py"


rule plot_aggregation:
    input:
        table="results/tables/aggregation.parquet",
    output:
        png=report(
            "results/figs/aggregation.png",
            caption="../report/aggregation.rst",
            category="Instrument",
            labels={"figure": "aggregation"},
        ),
        svg="results/figs/aggregation.svg",
    log:
        "results/logs/plot_aggregation.log",
    conda:
        ENV
    params:
        code=code("plot_aggregation"),
    message:
        "Draw what each statistic of KL sees"
    script:
        "../workflow_scripts/plot_aggregation.py"
