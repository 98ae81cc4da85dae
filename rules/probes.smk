"""The probes as instruments: what they read on the unsteered model, and whether they see the same deaths."""


rule tabulate_probes:
    input:
        audits=expand("results/{model}/probe/audit.json", model=STUDY["models"]),
        thresholds=expand("results/{model}/probe/threshold.json", model=STUDY["models"]),
        forks=study_methods(f"{CELL}/rollouts/{{method}}.forks.parquet"),
        trajectories=study_methods(f"{CELL}/rollouts/{{method}}.trajectories.parquet"),
    output:
        table="results/tables/probes.parquet",
        csv="results/tables/probes.csv",
        html=report(
            "results/tables/probes.html",
            caption="../report/probes_table.rst",
            category="Tables",
            labels={"table": "probes"},
        ),
    log:
        "results/logs/tabulate_probes.log",
    conda:
        ENV
    params:
        settings=settings(
            models=STUDY["models"],
            probes=config["rollout"]["probes"],
            window=config["rollout"]["window"],
        ),
        code=code("tabulate_probes"),
    message:
        "Tabulate the probes"
    script:
        "../workflow_scripts/tabulate_probes.py"


rule plot_probes:
    input:
        forks=expand("results/{model}/probe/audit.forks.parquet", model=STUDY["models"]),
        table="results/tables/probes.parquet",
    output:
        png=report(
            "results/figs/probes.png",
            caption="../report/probes.rst",
            category="Instrument",
            labels={"figure": "probes"},
        ),
        svg="results/figs/probes.svg",
    log:
        "results/logs/plot_probes.log",
    conda:
        ENV
    params:
        settings=settings(minimum=config["survival"]["minimum_base_pmass"]),
        code=code("plot_probes"),
    message:
        "Draw the probes on the unsteered model"
    script:
        "../workflow_scripts/plot_probes.py"
