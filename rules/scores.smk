"""Tasks at every dose: what is read in one forward each, and what is written and judged by a program."""

READ, WRITTEN = (plan.one_of(plan.tasks(written=each)) for each in (False, True))


rule score_task:
    input:
        model=MODEL,
        steering=plan.steering,
        doses=plan.doses,
        data=plan.items,
        reference=plan.answers,
        questions=study.data.questions,
        system_prompts=plan.system_prompts,
        designed=plan.designed,
    output:
        scores=update(f"{CELL}/scores/jobs/{{job}}.{{task}}.{{part}}.parquet"),
    log:
        "results/logs/score_task/{model}.{behavior}.seed{seed}.{job}.{task}.{part}.log",
    benchmark:
        "results/benchmarks/score_task/{model}.{behavior}.seed{seed}.{job}.{task}.{part}.tsv"
    wildcard_constraints:
        task=READ,
    conda:
        ENV
    threads: model_threads
    resources:
        **MODEL_JOB,
    params:
        settings=slices.score_task,
        data=lambda w: content([*plan.items(w), *plan.system_prompts(w)]),
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
    wildcard_constraints:
        task=READ,
    conda:
        ENV
    params:
        code=code("gather_scores"),
    message:
        "Gather the scores of {wildcards.method} on {wildcards.task}"
    script:
        "../workflow_scripts/gather_scores.py"


rule write_texts:
    input:
        model=MODEL,
        steering=plan.steering,
        doses=plan.doses,
        data=plan.items,
        system_prompts=plan.system_prompts,
        designed=plan.designed,
    output:
        tokens=update(f"{CELL}/written/jobs/{{job}}.{{task}}.{{part}}.tokens.parquet"),
        texts=update(f"{CELL}/written/jobs/{{job}}.{{task}}.{{part}}.texts.parquet"),
    log:
        "results/logs/write_texts/{model}.{behavior}.seed{seed}.{job}.{task}.{part}.log",
    benchmark:
        "results/benchmarks/write_texts/{model}.{behavior}.seed{seed}.{job}.{task}.{part}.tsv"
    wildcard_constraints:
        task=WRITTEN,
    conda:
        ENV
    threads: model_threads
    resources:
        **MODEL_JOB,
    params:
        settings=slices.write_texts,
        data=lambda w: content([*plan.items(w), *plan.system_prompts(w)]),
        code=code("write_texts"),
    message:
        "Write what {wildcards.task} asks under {wildcards.job}"
    script:
        "../workflow_scripts/write_texts.py"


rule score_texts:
    input:
        texts=plan.written("texts"),
        tokens=plan.written("tokens"),
        data=plan.items,
        bands="results/{model}/reference/bands.json",
    output:
        scores=f"{CELL}/scores/{{method}}.{{task}}.parquet",
    log:
        "results/logs/score_texts/{model}.{behavior}.seed{seed}.{method}.{task}.log",
    wildcard_constraints:
        task=WRITTEN,
    conda:
        ENV
    params:
        settings=slices.score_texts,
        data=lambda w: content(plan.items(w)),
        code=code("score_texts"),
    message:
        "Judge what {wildcards.method} wrote for {wildcards.task}"
    script:
        "../workflow_scripts/score_texts.py"
