"""Prompt baselines: how far a system prompt takes the model from itself, and how long it can still answer."""


rule measure_prompt:
    input:
        model=MODEL,
        prompts=config["data"]["prompts"],
        system_prompts=config["data"]["system_prompts"],
    output:
        table=f"{CELL}/calibration/{{method}}.parquet",
        summary=f"{CELL}/calibration/{{method}}.json",
    log:
        "results/logs/measure_prompt/{model}.{behavior}.seed{seed}.{method}.log",
    benchmark:
        "results/benchmarks/measure_prompt/{model}.{behavior}.seed{seed}.{method}.tsv"
    wildcard_constraints:
        method=one_of(methods_of("prompt")),
    conda:
        ENV
    threads: workflow.cores
    resources:
        **GPU,
    params:
        settings=lambda w: model_settings(w.model, **prompt_settings(w.method)),
        code=code("measure_prompt"),
    message:
        "Measure {wildcards.method}, a system prompt"
    script:
        "../workflow_scripts/measure_prompt.py"


# Alphas are the signs of the study's: -1 is the negative text, 0 none, 1 the positive one.
rule rollout_prompt:
    input:
        model=MODEL,
        system_prompts=config["data"]["system_prompts"],
        audit=ancient("results/{model}/probe/audit.json"),
        questions=config["data"]["questions"],
    output:
        tokens=f"{CELL}/rollouts/{{method}}.tokens.parquet",
        trajectories=f"{CELL}/rollouts/{{method}}.trajectories.parquet",
        forks=f"{CELL}/rollouts/{{method}}.forks.parquet",
    log:
        "results/logs/rollout_prompt/{model}.{behavior}.seed{seed}.{method}.log",
    benchmark:
        "results/benchmarks/rollout_prompt/{model}.{behavior}.seed{seed}.{method}.tsv"
    wildcard_constraints:
        method=one_of(methods_of("prompt")),
    conda:
        ENV
    threads: workflow.cores
    resources:
        **GPU,
    params:
        settings=lambda w: rollout_settings(
            w.model,
            style=config["methods"][w.method]["style"],
            alphas=sorted({(alpha > 0) - (alpha < 0) for alpha in config["rollout"]["alphas"]}),
        ),
        code=code("rollout_prompt"),
    message:
        "Roll {wildcards.method}, a system prompt, out"
    script:
        "../workflow_scripts/rollout_prompt.py"
