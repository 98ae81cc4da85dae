"""What the unsteered model answers to the probes, and what happens at multiples of dose 1."""


rule audit_probe:
    input:
        model=MODEL,
        questions=study.data.questions,
    output:
        summary="results/{model}/probe/{probes}.json",
        forks="results/{model}/probe/{probes}.forks.parquet",
        texts="results/{model}/probe/{probes}.texts.json",
    log:
        "results/logs/audit_probe/{model}.{probes}.log",
    benchmark:
        "results/benchmarks/audit_probe/{model}.{probes}.tsv"
    priority: 100
    conda:
        ENV
    threads: model_threads
    resources:
        **MODEL_JOB,
    params:
        settings=slices.audit_probe,
        data=content([study.data.questions]),
        code=code("audit_probe"),
    message:
        "Audit the probes on the unsteered {wildcards.model}"
    script:
        "../workflow_scripts/audit_probe.py"


rule roll_reference:
    input:
        model=MODEL,
        questions=study.data.questions,
    output:
        tokens="results/{model}/reference/tokens.parquet",
    log:
        "results/logs/roll_reference/{model}.log",
    benchmark:
        "results/benchmarks/roll_reference/{model}.tsv"
    conda:
        ENV
    threads: model_threads
    resources:
        **MODEL_JOB,
    params:
        settings=slices.roll_reference,
        data=content([study.data.questions]),
        code=code("roll_reference"),
    message:
        "Let the unsteered {wildcards.model} write"
    script:
        "../workflow_scripts/roll_reference.py"


rule rollout_trajectories:
    input:
        model=MODEL,
        steering=plan.steering,
        doses=plan.doses,
        audit="results/{model}/probe/rolled_out.json",
        questions=study.data.questions,
        system_prompts=plan.system_prompts,
    output:
        tokens=update(f"{CELL}/rollouts/jobs/{{job}}.{{part}}.tokens.parquet"),
        trajectories=update(f"{CELL}/rollouts/jobs/{{job}}.{{part}}.trajectories.parquet"),
        forks=update(f"{CELL}/rollouts/jobs/{{job}}.{{part}}.forks.parquet"),
    log:
        "results/logs/rollout_trajectories/{model}.{behavior}.seed{seed}.{job}.{part}.log",
    benchmark:
        "results/benchmarks/rollout_trajectories/{model}.{behavior}.seed{seed}.{job}.{part}.tsv"
    conda:
        ENV
    threads: model_threads
    resources:
        **MODEL_JOB,
    params:
        settings=slices.rollout_trajectories,
        data=lambda w: content([study.data.questions, *plan.system_prompts(w)]),
        code=code("rollout_trajectories"),
    message:
        "Roll {wildcards.job} out"
    script:
        "../workflow_scripts/rollout_trajectories.py"


rule design_rollouts:
    input:
        model=MODEL,
        steering=plan.steering,
        doses=plan.doses,
        audit="results/{model}/probe/rolled_out.json",
        threshold="results/{model}/probe/threshold.json",
        bands="results/{model}/reference/bands.json",
        questions=study.data.questions,
    output:
        tokens=update(f"{CELL}/rollouts/designed/{{job}}.tokens.parquet"),
        trajectories=update(f"{CELL}/rollouts/designed/{{job}}.trajectories.parquet"),
        forks=update(f"{CELL}/rollouts/designed/{{job}}.forks.parquet"),
    log:
        "results/logs/design_rollouts/{model}.{behavior}.seed{seed}.{job}.log",
    benchmark:
        "results/benchmarks/design_rollouts/{model}.{behavior}.seed{seed}.{job}.tsv"
    conda:
        ENV
    threads: model_threads
    resources:
        **MODEL_JOB,
    params:
        settings=slices.design_rollouts,
        data=content([study.data.questions]),
        rolled_by=code("rollout_trajectories"),
        code=code("design_rollouts"),
    message:
        "Roll {wildcards.job} out at doses that are placed in turn"
    script:
        "../workflow_scripts/design_rollouts.py"


rule gather_rollouts:
    input:
        tokens=plan.rollouts("tokens"),
        trajectories=plan.rollouts("trajectories"),
        forks=plan.rollouts("forks"),
    output:
        tokens_table=f"{CELL}/rollouts/{{method}}.tokens.parquet",
        trajectories_table=f"{CELL}/rollouts/{{method}}.trajectories.parquet",
        forks_table=f"{CELL}/rollouts/{{method}}.forks.parquet",
    log:
        "results/logs/gather_rollouts/{model}.{behavior}.seed{seed}.{method}.log",
    conda:
        ENV
    params:
        code=code("gather_rollouts"),
    message:
        "Gather the rollouts of {wildcards.method}"
    script:
        "../workflow_scripts/gather_rollouts.py"


rule score_relevance:
    input:
        model=MODEL,
        questions=study.data.questions,
        tokens=f"{CELL}/rollouts/{{method}}.tokens.parquet",
    output:
        relevance=f"{CELL}/relevance/{{method}}.parquet",
    log:
        "results/logs/score_relevance/{model}.{behavior}.seed{seed}.{method}.log",
    benchmark:
        "results/benchmarks/score_relevance/{model}.{behavior}.seed{seed}.{method}.tsv"
    conda:
        ENV
    threads: model_threads
    resources:
        **MODEL_JOB,
    params:
        settings=slices.score_relevance,
        data=content([study.data.questions]),
        code=code("score_relevance"),
    message:
        "Read the texts under {wildcards.method} behind other questions"
    script:
        "../workflow_scripts/score_relevance.py"


rule score_reference:
    input:
        model=MODEL,
        questions=study.data.questions,
        tokens="results/{model}/reference/tokens.parquet",
    output:
        relevance="results/{model}/reference/relevance.parquet",
    log:
        "results/logs/score_reference/{model}.log",
    benchmark:
        "results/benchmarks/score_reference/{model}.tsv"
    conda:
        ENV
    threads: model_threads
    resources:
        **MODEL_JOB,
    params:
        settings=slices.score_reference,
        data=content([study.data.questions]),
        code=code("score_reference"),
    message:
        "Read the reference texts of {wildcards.model} behind other questions"
    script:
        "../workflow_scripts/score_reference.py"
