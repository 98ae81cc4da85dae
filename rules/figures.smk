"""Pictures across methods, from tables alone. Every one is part of `rule all`."""


rule plot_survival:
    input:
        curves=plan.each(f"{CELL}/survival/{{method}}.curve.parquet"),
    output:
        png=report(
            "results/figs/survival.png",
            caption="../report/survival.rst",
            category="Survival",
            labels={"figure": "survival"},
        ),
        svg="results/figs/survival.svg",
    log:
        "results/logs/plot_survival.log",
    conda:
        ENV
    params:
        settings=slices.panels,
        code=code("plot_survival"),
    message:
        "Draw survival"
    script:
        "../workflow_scripts/plot_survival.py"


rule plot_survival_by_dose:
    input:
        curves=plan.each(f"{CELL}/survival/{{method}}.curve.parquet"),
    output:
        png=report(
            "results/figs/survival_by_dose.png",
            caption="../report/survival_by_dose.rst",
            category="Survival",
            labels={"figure": "survival by dose"},
        ),
        svg="results/figs/survival_by_dose.svg",
    log:
        "results/logs/plot_survival_by_dose.log",
    conda:
        ENV
    params:
        settings=slices.panels,
        code=code("plot_survival_by_dose"),
    message:
        "Draw survival of the methods at each dose"
    script:
        "../workflow_scripts/plot_survival_by_dose.py"


rule plot_incidence:
    input:
        curves=plan.each(f"{CELL}/survival/{{method}}.curve.parquet"),
    output:
        png=report(
            "results/figs/incidence.png",
            caption="../report/incidence.rst",
            category="Survival",
            labels={"figure": "incidence"},
        ),
        svg="results/figs/incidence.svg",
    log:
        "results/logs/plot_incidence.log",
    conda:
        ENV
    params:
        settings=slices.panels,
        code=code("plot_incidence"),
    message:
        "Draw what became of the trajectories"
    script:
        "../workflow_scripts/plot_incidence.py"


rule plot_prevalence:
    input:
        prevalence=plan.each(f"{CELL}/survival/{{method}}.prevalence.parquet"),
    output:
        png=report(
            "results/figs/prevalence.png",
            caption="../report/prevalence.rst",
            category="Survival",
            labels={"figure": "prevalence"},
        ),
        svg="results/figs/prevalence.svg",
    log:
        "results/logs/plot_prevalence.log",
    conda:
        ENV
    params:
        settings=slices.panels,
        code=code("plot_prevalence"),
    message:
        "Draw how many texts are broken at a time"
    script:
        "../workflow_scripts/plot_prevalence.py"


rule plot_relevance:
    input:
        shares="results/tables/dose_shares.parquet",
        relevance="results/tables/relevance.parquet",
    output:
        png=report(
            "results/figs/relevance.png",
            caption="../report/relevance.rst",
            category="Survival",
            labels={"figure": "relevance"},
        ),
        svg="results/figs/relevance.svg",
    log:
        "results/logs/plot_relevance.log",
    conda:
        ENV
    params:
        settings=slices.panels,
        code=code("plot_relevance"),
    message:
        "Draw how many texts break, and how many are not about their question"
    script:
        "../workflow_scripts/plot_relevance.py"


rule plot_dose_response:
    input:
        shares="results/tables/dose_shares.parquet",
        table="results/tables/dose_response.parquet",
        calibrations=plan.each(f"{CELL}/calibration/{{method}}.parquet"),
    output:
        png=report(
            "results/figs/dose_response.png",
            caption="../report/dose_response.rst",
            category="Dose",
            labels={"figure": "dose response"},
        ),
        svg="results/figs/dose_response.svg",
    log:
        "results/logs/plot_dose_response.log",
    conda:
        ENV
    params:
        settings=slices.plot_calibration,
        code=code("plot_dose_response"),
    message:
        "Draw the share dead against the dose"
    script:
        "../workflow_scripts/plot_dose_response.py"


rule plot_equal_kl:
    input:
        shares="results/tables/dose_shares.parquet",
        delivered="results/tables/delivered_kl.parquet",
    output:
        png=report(
            "results/figs/equal_kl.png",
            caption="../report/equal_kl.rst",
            category="Dose",
            labels={"figure": "equal KL"},
        ),
        svg="results/figs/equal_kl.svg",
    log:
        "results/logs/plot_equal_kl.log",
    conda:
        ENV
    params:
        settings=slices.panels,
        code=code("plot_equal_kl"),
    message:
        "Draw who is dead at which delivered KL"
    script:
        "../workflow_scripts/plot_equal_kl.py"


rule plot_lethal_dose:
    input:
        shares="results/tables/dose_shares.parquet",
        table="results/tables/dose_response.parquet",
        calibrations=plan.each(f"{CELL}/calibration/{{method}}.parquet"),
    output:
        png=report(
            "results/figs/lethal_dose.png",
            caption="../report/lethal_dose.rst",
            category="Dose",
            labels={"figure": "lethal dose"},
        ),
        svg="results/figs/lethal_dose.svg",
    log:
        "results/logs/plot_lethal_dose.log",
    conda:
        ENV
    params:
        settings=slices.plot_calibration,
        code=code("plot_lethal_dose"),
    message:
        "Draw lethal and safe doses side by side"
    script:
        "../workflow_scripts/plot_lethal_dose.py"


rule plot_threshold_sweep:
    input:
        shares="results/tables/threshold_shares.parquet",
        table="results/tables/threshold_sweep.parquet",
    output:
        png=report(
            "results/figs/threshold_sweep.png",
            caption="../report/threshold_sweep.rst",
            category="Instrument",
            labels={"figure": "threshold sweep"},
        ),
        svg="results/figs/threshold_sweep.svg",
    log:
        "results/logs/plot_threshold_sweep.log",
    conda:
        ENV
    params:
        settings=slices.panels,
        code=code("plot_threshold_sweep"),
    message:
        "Draw who is dead by dose and threshold"
    script:
        "../workflow_scripts/plot_threshold_sweep.py"


rule plot_spaghetti:
    input:
        tokens=plan.each(f"{CELL}/rollouts/{{method}}.tokens.parquet"),
        lifetimes=plan.each(f"{CELL}/survival/{{method}}.lifetimes.parquet"),
        calibrations=plan.each(f"{CELL}/calibration/{{method}}.parquet"),
    output:
        png=report(
            "results/figs/spaghetti.png",
            caption="../report/spaghetti.rst",
            category="Deaths",
            labels={"figure": "spaghetti"},
        ),
        svg="results/figs/spaghetti.svg",
    log:
        "results/logs/plot_spaghetti.log",
    conda:
        ENV
    params:
        settings=slices.plot_spaghetti,
        code=code("plot_spaghetti"),
    message:
        "Draw the KL of every trajectory"
    script:
        "../workflow_scripts/plot_spaghetti.py"


rule plot_spaghetti_normalised:
    input:
        tokens=plan.each(f"{CELL}/rollouts/{{method}}.tokens.parquet"),
        lifetimes=plan.each(f"{CELL}/survival/{{method}}.lifetimes.parquet"),
    output:
        png=report(
            "results/figs/spaghetti_normalised.png",
            caption="../report/spaghetti_normalised.rst",
            category="Deaths",
            labels={"figure": "spaghetti normalised"},
        ),
        svg="results/figs/spaghetti_normalised.svg",
    log:
        "results/logs/plot_spaghetti_normalised.log",
    conda:
        ENV
    params:
        settings=slices.plot_spaghetti_normalised,
        code=code("plot_spaghetti_normalised"),
    message:
        "Draw the KL of every trajectory over its own beginning"
    script:
        "../workflow_scripts/plot_spaghetti_normalised.py"


rule plot_kl_fan:
    input:
        tokens=plan.each(f"{CELL}/rollouts/{{method}}.tokens.parquet"),
        lifetimes=plan.each(f"{CELL}/survival/{{method}}.lifetimes.parquet"),
    output:
        png=report(
            "results/figs/kl_fan.png", caption="../report/kl_fan.rst", category="Deaths", labels={"figure": "kl fan"}
        ),
        svg="results/figs/kl_fan.svg",
    log:
        "results/logs/plot_kl_fan.log",
    conda:
        ENV
    params:
        settings=slices.plot_kl_fan,
        code=code("plot_kl_fan"),
    message:
        "Draw quantiles of KL along the rollout"
    script:
        "../workflow_scripts/plot_kl_fan.py"


rule plot_aggregate:
    input:
        tokens=plan.each(f"{CELL}/rollouts/{{method}}.tokens.parquet"),
        lifetimes=plan.each(f"{CELL}/survival/{{method}}.lifetimes.parquet"),
        forks=plan.each(f"{CELL}/rollouts/{{method}}.forks.parquet"),
        thresholds=plan.each_model("results/{model}/probe/threshold.json"),
    output:
        png=report(
            "results/figs/aggregate.png",
            caption="../report/aggregate.rst",
            category="Deaths",
            labels={"figure": "aggregate"},
        ),
        svg="results/figs/aggregate.svg",
    log:
        "results/logs/plot_aggregate.log",
    conda:
        ENV
    params:
        settings=slices.plot_aggregate,
        code=code("plot_aggregate"),
    message:
        "Draw KL above the probe"
    script:
        "../workflow_scripts/plot_aggregate.py"


rule plot_death_anatomy:
    input:
        deaths="results/tables/deaths.parquet",
    output:
        png=report(
            "results/figs/death_anatomy.png",
            caption="../report/death_anatomy.rst",
            category="Deaths",
            labels={"figure": "death anatomy"},
        ),
        svg="results/figs/death_anatomy.svg",
    log:
        "results/logs/plot_death_anatomy.log",
    conda:
        ENV
    params:
        settings=slices.panels,
        code=code("plot_death_anatomy"),
    message:
        "Draw how trajectories died"
    script:
        "../workflow_scripts/plot_death_anatomy.py"


rule plot_probes:
    input:
        forks=plan.each_model("results/{model}/probe/rolled_out.forks.parquet"),
        others=plan.each_model("results/{model}/probe/others.forks.parquet"),
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
        settings=slices.plot_probes,
        code=code("plot_probes"),
    message:
        "Draw the probes on the unsteered model"
    script:
        "../workflow_scripts/plot_probes.py"


rule plot_calibration:
    input:
        tables=plan.each(f"{CELL}/calibration/{{method}}.parquet"),
        doses=plan.calibrated(),
    output:
        png=report(
            "results/figs/calibration.png",
            caption="../report/calibration.rst",
            category="Dose",
            labels={"figure": "calibration"},
        ),
        svg="results/figs/calibration.svg",
    log:
        "results/logs/plot_calibration.log",
    conda:
        ENV
    params:
        settings=slices.plot_calibration,
        code=code("plot_calibration"),
    message:
        "Draw the calibration paths"
    script:
        "../workflow_scripts/plot_calibration.py"


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


if plan.losses():

    rule plot_training:
        input:
            losses=plan.losses(),
        output:
            png=report(
                "results/figs/training.png",
                caption="../report/training.rst",
                category="Dose",
                labels={"figure": "training"},
            ),
            svg="results/figs/training.svg",
        log:
            "results/logs/plot_training.log",
        conda:
            ENV
        params:
            code=code("plot_training"),
        message:
            "Draw the training losses"
        script:
            "../workflow_scripts/plot_training.py"
