"""Pages to read, a page a cell."""


rule write_reading:
    input:
        model=MODEL,
        tokens=lambda w: plan.of_cell(w, "rollouts/{method}.tokens.parquet"),
        forks=lambda w: plan.of_cell(w, "rollouts/{method}.forks.parquet"),
        lifetimes=lambda w: plan.of_cell(w, "survival/{method}.lifetimes.parquet"),
        threshold="results/{model}/probe/threshold.json",
        questions=study.data.questions,
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
