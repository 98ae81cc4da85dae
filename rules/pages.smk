"""Pages to read: the texts of each cell, and what made the results."""


rule write_reading:
    input:
        model=MODEL,
        tokens=lambda w: plan.of_cell(w, "rollouts/{method}.tokens.parquet"),
        forks=lambda w: plan.of_cell(w, "rollouts/{method}.forks.parquet"),
        lifetimes=lambda w: plan.of_cell(w, "survival/{method}.lifetimes.parquet"),
        threshold="results/{model}/probe/threshold.json",
        questions=study.data.questions,
        template="workflow_scripts/steerdose/pages/templates/reading.html",
    output:
        page=report(
            f"{CELL}/reading.html",
            caption="../report/reading.rst",
            category="Text",
            labels={"model": "{model}", "behavior": "{behavior}", "seed": "{seed}"},
        ),
    log:
        "results/logs/write_reading/{model}.{behavior}.seed{seed}.log",
    conda:
        ENV
    params:
        settings=slices.write_reading,
        data=content([study.data.questions]),
        code=code("write_reading"),
    message:
        "Write the texts of {wildcards.model}, {wildcards.behavior}, seed {wildcards.seed} to read"
    script:
        "../workflow_scripts/write_reading.py"


rule write_start:
    input:
        doses="results/tables/dose.parquet",
        figure="results/figs/therapeutic.png",
    output:
        start="results/start.rst",
    log:
        "results/logs/write_start.log",
    conda:
        ENV
    params:
        code=code("write_start"),
    message:
        "Write what the report opens with"
    script:
        "../workflow_scripts/write_start.py"


rule write_provenance:
    input:
        results=lambda w: targets(),
        template="workflow_scripts/steerdose/pages/templates/provenance.html",
    output:
        page=report(
            "results/provenance.html",
            caption="../report/provenance.rst",
            category="Start",
            labels={"page": "provenance"},
        ),
        start="results/provenance.rst",
        csv="results/tables/cost.csv",
        html=report(
            "results/tables/cost.html",
            caption="../report/cost_table.rst",
            category="Tables",
            labels={"table": "cost"},
        ),
    log:
        "results/logs/write_provenance.log",
    conda:
        ENV
    params:
        caption=caption("cost"),
        code=code("write_provenance"),
    message:
        "Write what made the results, and what that took"
    script:
        "../workflow_scripts/write_provenance.py"
