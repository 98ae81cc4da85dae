"""Trajectories to read, a page a cell."""


rule write_reading:
    input:
        model=MODEL,
        tokens=expand(f"{CELL}/rollouts/{{method}}.tokens.parquet", method=STUDY["methods"], allow_missing=True),
        forks=expand(f"{CELL}/rollouts/{{method}}.forks.parquet", method=STUDY["methods"], allow_missing=True),
        lifetimes=expand(f"{CELL}/survival/{{method}}.lifetimes.parquet", method=STUDY["methods"], allow_missing=True),
        threshold="results/{model}/probe/threshold.json",
        questions=config["data"]["questions"],
        template="workflow_scripts/steerdose/pages/templates/reading.html",
    output:
        report(
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
        settings=settings(probe=config["rollout"]["probes"][0], **config["reading"]),
        code=code("write_reading"),
    message:
        "Write the texts of {wildcards.model}, {wildcards.behavior}, seed {wildcards.seed} to read"
    script:
        "../workflow_scripts/write_reading.py"
