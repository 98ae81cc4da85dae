"""Benchmarks at every dose, read in one forward each."""


rule score_task:
    input:
        model=MODEL,
        steering=plan.steering,
        doses=plan.doses,
        claims=study.data.claims,
        system_prompts=plan.system_prompts,
    output:
        scores=update(f"{CELL}/scores/jobs/{{job}}.{{task}}.{{part}}.parquet"),
    log:
        "results/logs/score_task/{model}.{behavior}.seed{seed}.{job}.{task}.{part}.log",
    benchmark:
        "results/benchmarks/score_task/{model}.{behavior}.seed{seed}.{job}.{task}.{part}.tsv"
    conda:
        ENV
    threads: model_threads
    resources:
        **MODEL_JOB,
    params:
        settings=slices.score_task,
        data=lambda w: content([study.data.claims, *plan.system_prompts(w)]),
        code=code("score_task"),
    message:
        "Score {wildcards.task} under {wildcards.job}"
    script:
        "../workflow_scripts/score_task.py"


rule gather_scores:
    input:
        parts=plan.scores,
    output:
        scores=f"{CELL}/scores/{{method}}.{{task}}.parquet",
    log:
        "results/logs/gather_scores/{model}.{behavior}.seed{seed}.{method}.{task}.log",
    conda:
        ENV
    params:
        code=code("gather_scores"),
    message:
        "Gather the scores of {wildcards.method} on {wildcards.task}"
    script:
        "../workflow_scripts/gather_scores.py"
