"""What the texts and the KL of trajectories say about deaths that the probe alone does not."""


rule measure_prefixes:
    input:
        tokens=f"{CELL}/rollouts/{{method}}.tokens.parquet",
        trajectories=f"{CELL}/rollouts/{{method}}.trajectories.parquet",
        forks=f"{CELL}/rollouts/{{method}}.forks.parquet",
    output:
        prefixes=f"{CELL}/deaths/{{method}}.prefixes.parquet",
        texts=f"{CELL}/deaths/{{method}}.texts.parquet",
    log:
        "results/logs/measure_prefixes/{model}.{behavior}.seed{seed}.{method}.log",
    conda:
        ENV
    params:
        settings=settings(statistic=config["calibration"]["statistic"], n=config["deaths"]["head"]),
        code=code("measure_prefixes"),
    message:
        "Measure texts and KL under {wildcards.method}"
    script:
        "../workflow_scripts/measure_prefixes.py"


rule tabulate_deaths:
    input:
        lifetimes=study_methods(f"{CELL}/survival/{{method}}.lifetimes.parquet"),
        prefixes=study_methods(f"{CELL}/deaths/{{method}}.prefixes.parquet"),
    output:
        deaths="results/tables/deaths.parquet",
        csv="results/tables/deaths.csv",
        html=report(
            "results/tables/deaths.html",
            caption="../report/deaths_table.rst",
            category="Deaths",
            labels={"table": "deaths"},
        ),
    log:
        "results/logs/tabulate_deaths.log",
    conda:
        ENV
    params:
        settings=settings(significance=config["deaths"]["significance"]),
        code=code("tabulate_deaths"),
    message:
        "Tabulate deaths by the KL before them"
    script:
        "../workflow_scripts/tabulate_deaths.py"


rule tabulate_death_events:
    input:
        lifetimes=study_methods(f"{CELL}/survival/{{method}}.lifetimes.parquet"),
        prefixes=study_methods(f"{CELL}/deaths/{{method}}.prefixes.parquet"),
        calibrations=study_methods(f"{CELL}/calibration/{{method}}.parquet"),
    output:
        csv="results/tables/death_events.csv",
        html=report(
            "results/tables/death_events.html",
            caption="../report/death_events_table.rst",
            category="Deaths",
            labels={"table": "death events"},
        ),
        agreement_csv="results/tables/death_agreement.csv",
        agreement_html=report(
            "results/tables/death_agreement.html",
            caption="../report/death_agreement_table.rst",
            category="Deaths",
            labels={"table": "death agreement"},
        ),
    log:
        "results/logs/tabulate_death_events.log",
    conda:
        ENV
    params:
        settings=settings(
            quantile=config["deaths"]["quantile"],
            kl_multiple=config["deaths"]["kl_multiple"],
            confidence=config["survival"]["confidence"],
        ),
        code=code("tabulate_death_events"),
    message:
        "Compare the probe's deaths with those that text and KL tell"
    script:
        "../workflow_scripts/tabulate_death_events.py"


rule tabulate_texts:
    input:
        texts=study_methods(f"{CELL}/deaths/{{method}}.texts.parquet"),
    output:
        csv="results/tables/texts.csv",
        html=report(
            "results/tables/texts.html",
            caption="../report/texts_table.rst",
            category="Text",
            labels={"table": "texts"},
        ),
    log:
        "results/logs/tabulate_texts.log",
    conda:
        ENV
    params:
        code=code("tabulate_texts"),
    message:
        "Tabulate the degeneration of texts"
    script:
        "../workflow_scripts/tabulate_texts.py"


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
        code=code("plot_death_anatomy"),
    message:
        "Draw how trajectories died"
    script:
        "../workflow_scripts/plot_death_anatomy.py"
