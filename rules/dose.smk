"""Is the probe valid, which coefficient is dose 1, and what happens at multiples of it."""


# Both rules of the probes come before everything expensive: a probe that the unsteered model fails, or a threshold that
# it does not reach, stops the workflow at once.
rule audit_probe:
    input:
        model=MODEL,
        questions=config["data"]["questions"],
    output:
        summary="results/{model}/probe/audit.json",
        forks="results/{model}/probe/audit.forks.parquet",
    log:
        "results/logs/audit_probe/{model}.log",
    benchmark:
        "results/benchmarks/audit_probe/{model}.tsv"
    priority: 100
    conda:
        ENV
    threads: workflow.cores
    resources:
        **GPU,
    params:
        settings=lambda w: trajectory_settings(
            w.model,
            probes=config["probes"],
            readings=["steered"],
            rolled_out=config["rollout"]["probes"],
            minimum_base_pmass=config["survival"]["minimum_base_pmass"],
        ),
        code=code("audit_probe"),
    message:
        "Audit the probes on the unsteered {wildcards.model}"
    script:
        "../workflow_scripts/audit_probe.py"


rule set_threshold:
    input:
        "results/{model}/probe/audit.json",
    output:
        "results/{model}/probe/threshold.json",
    log:
        "results/logs/set_threshold/{model}.log",
    priority: 100
    conda:
        ENV
    params:
        settings=settings(probes=config["rollout"]["probes"], **config["survival"]["threshold"]),
        code=code("set_threshold"),
    message:
        "Set the threshold of death for {wildcards.model}"
    script:
        "../workflow_scripts/set_threshold.py"


rule calibrate_alpha:
    input:
        model=MODEL,
        steering=f"{CELL}/steering/{{method}}.safetensors",
        prompts=config["data"]["prompts"],
        reference=target_reference,
    output:
        table=f"{CELL}/calibration/{{method}}.parquet",
        summary=f"{CELL}/calibration/{{method}}.json",
    log:
        "results/logs/calibrate_alpha/{model}.{behavior}.seed{seed}.{method}.log",
    benchmark:
        "results/benchmarks/calibrate_alpha/{model}.{behavior}.seed{seed}.{method}.tsv"
    wildcard_constraints:
        method=one_of(steered_methods()),
    conda:
        ENV
    threads: workflow.cores
    resources:
        **GPU,
    params:
        settings=lambda w: model_settings(w.model, **calibration_settings(w.method)),
        code=code("calibrate_alpha"),
    message:
        "Calibrate {wildcards.method}"
    script:
        "../workflow_scripts/calibrate_alpha.py"


rule rollout_trajectories:
    input:
        model=MODEL,
        steering=f"{CELL}/steering/{{method}}.safetensors",
        calibration=f"{CELL}/calibration/{{method}}.json",
        audit=ancient("results/{model}/probe/audit.json"),  # a pass before the long rollouts; its numbers are not read
        questions=config["data"]["questions"],
    output:
        tokens=f"{CELL}/rollouts/{{method}}.tokens.parquet",
        trajectories=f"{CELL}/rollouts/{{method}}.trajectories.parquet",
        forks=f"{CELL}/rollouts/{{method}}.forks.parquet",
    log:
        "results/logs/rollout_trajectories/{model}.{behavior}.seed{seed}.{method}.log",
    benchmark:
        "results/benchmarks/rollout_trajectories/{model}.{behavior}.seed{seed}.{method}.tsv"
    wildcard_constraints:
        method=one_of(steered_methods()),
    conda:
        ENV
    threads: workflow.cores
    resources:
        **GPU,
    params:
        settings=lambda w: rollout_settings(w.model, alphas=config["rollout"]["alphas"]),
        code=code("rollout_trajectories"),
    message:
        "Roll {wildcards.method} out at {config[rollout][alphas]}"
    script:
        "../workflow_scripts/rollout_trajectories.py"
