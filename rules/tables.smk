"""Tables across methods, from small files alone. Every one is part of `rule all`."""


rule tabulate_survival:
    input:
        summaries=plan.each(f"{CELL}/survival/{{method}}.summary.parquet"),
    output:
        csv="results/tables/survival.csv",
        html=report(
            "results/tables/survival.html",
            caption="../report/survival_table.rst",
            category="Tables",
            labels={"table": "survival"},
        ),
    log:
        "results/logs/tabulate_survival.log",
    conda:
        ENV
    params:
        caption=caption("survival"),
        code=code("tabulate_survival"),
    message:
        "Tabulate survival"
    script:
        "../workflow_scripts/tabulate_survival.py"


rule tabulate_logrank:
    input:
        lifetimes=plan.each(f"{CELL}/survival/{{method}}.lifetimes.parquet"),
    output:
        csv="results/tables/logrank.csv",
        html=report(
            "results/tables/logrank.html",
            caption="../report/logrank_table.rst",
            category="Tables",
            labels={"table": "logrank"},
        ),
    log:
        "results/logs/tabulate_logrank.log",
    conda:
        ENV
    params:
        settings=slices.tabulate_logrank,
        caption=caption("logrank"),
        code=code("tabulate_logrank"),
    message:
        "Compare the survival of doses and methods"
    script:
        "../workflow_scripts/tabulate_logrank.py"


rule tabulate_hazards:
    input:
        lifetimes=plan.each(f"{CELL}/survival/{{method}}.lifetimes.parquet"),
    output:
        csv="results/tables/hazards.csv",
        html=report(
            "results/tables/hazards.html",
            caption="../report/hazards_table.rst",
            category="Tables",
            labels={"table": "hazards"},
        ),
    log:
        "results/logs/tabulate_hazards.log",
    conda:
        ENV
    params:
        settings=slices.tabulate_hazards,
        caption=caption("hazards"),
        code=code("tabulate_hazards"),
    message:
        "Fit the hazard of death on dose and method"
    script:
        "../workflow_scripts/tabulate_hazards.py"


rule tabulate_dose_response:
    input:
        curves=plan.each(f"{CELL}/survival/{{method}}.curve.parquet"),
        lifetimes=plan.each(f"{CELL}/survival/{{method}}.lifetimes.parquet"),
        doses=plan.calibrated(),
    output:
        shares="results/tables/dose_shares.parquet",
        table="results/tables/dose_response.parquet",
        csv="results/tables/dose_response.csv",
        html=report(
            "results/tables/dose_response.html",
            caption="../report/dose_response_table.rst",
            category="Tables",
            labels={"table": "dose response"},
        ),
    log:
        "results/logs/tabulate_dose_response.log",
    conda:
        ENV
    params:
        settings=slices.tabulate_dose_response,
        caption=caption("dose_response"),
        code=code("tabulate_dose_response"),
    message:
        "Tabulate lethal and safe doses"
    script:
        "../workflow_scripts/tabulate_dose_response.py"


rule tabulate_ranking:
    input:
        lifetimes=plan.each(f"{CELL}/survival/{{method}}.lifetimes.parquet"),
        tokens=plan.each(f"{CELL}/rollouts/{{method}}.tokens.parquet"),
        doses=plan.calibrated(),
    output:
        csv="results/tables/ranking.csv",
        html=report(
            "results/tables/ranking.html",
            caption="../report/ranking_table.rst",
            category="Tables",
            labels={"table": "ranking"},
        ),
    log:
        "results/logs/tabulate_ranking.log",
    conda:
        ENV
    params:
        settings=slices.tabulate_ranking,
        caption=caption("ranking"),
        code=code("tabulate_ranking"),
    message:
        "Tabulate which methods bear more, as far as that holds"
    script:
        "../workflow_scripts/tabulate_ranking.py"


rule tabulate_threshold_sweep:
    input:
        forks=plan.each(f"{CELL}/rollouts/{{method}}.forks.parquet"),
        trajectories=plan.each(f"{CELL}/rollouts/{{method}}.trajectories.parquet"),
        thresholds=plan.each_model("results/{model}/probe/threshold.json"),
    output:
        shares="results/tables/threshold_shares.parquet",
        table="results/tables/threshold_sweep.parquet",
        csv="results/tables/threshold_sweep.csv",
        html=report(
            "results/tables/threshold_sweep.html",
            caption="../report/threshold_sweep_table.rst",
            category="Tables",
            labels={"table": "threshold sweep"},
        ),
    log:
        "results/logs/tabulate_threshold_sweep.log",
    conda:
        ENV
    params:
        settings=slices.tabulate_threshold_sweep,
        caption=caption("threshold_sweep"),
        code=code("tabulate_threshold_sweep"),
    message:
        "Tabulate lethal doses by threshold"
    script:
        "../workflow_scripts/tabulate_threshold_sweep.py"


rule tabulate_probes:
    input:
        audits=plan.each_model("results/{model}/probe/rolled_out.json"),
        others=plan.each_model("results/{model}/probe/others.json"),
        thresholds=plan.each_model("results/{model}/probe/threshold.json"),
        forks=plan.each(f"{CELL}/rollouts/{{method}}.forks.parquet"),
        trajectories=plan.each(f"{CELL}/rollouts/{{method}}.trajectories.parquet"),
    output:
        table="results/tables/probes.parquet",
        csv="results/tables/probes.csv",
        html=report(
            "results/tables/probes.html",
            caption="../report/probes_table.rst",
            category="Tables",
            labels={"table": "probes"},
        ),
    log:
        "results/logs/tabulate_probes.log",
    conda:
        ENV
    params:
        settings=slices.tabulate_probes,
        caption=caption("probes"),
        code=code("tabulate_probes"),
    message:
        "Tabulate the probes"
    script:
        "../workflow_scripts/tabulate_probes.py"


rule tabulate_deaths:
    input:
        lifetimes=plan.each(f"{CELL}/survival/{{method}}.lifetimes.parquet"),
        prefixes=plan.each(f"{CELL}/deaths/{{method}}.prefixes.parquet"),
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
        settings=slices.tabulate_deaths,
        caption=caption("deaths"),
        code=code("tabulate_deaths"),
    message:
        "Tabulate deaths by the KL before them"
    script:
        "../workflow_scripts/tabulate_deaths.py"


rule tabulate_endpoints:
    input:
        lifetimes=plan.each(f"{CELL}/survival/{{method}}.lifetimes.parquet"),
        curves=plan.each(f"{CELL}/survival/{{method}}.curve.parquet"),
        doses=plan.calibrated(),
    output:
        csv="results/tables/endpoints.csv",
        html=report(
            "results/tables/endpoints.html",
            caption="../report/endpoints_table.rst",
            category="Deaths",
            labels={"table": "doses by endpoint"},
        ),
        agreement_csv="results/tables/agreement.csv",
        agreement_html=report(
            "results/tables/agreement.html",
            caption="../report/agreement_table.rst",
            category="Deaths",
            labels={"table": "agreement of endpoints"},
        ),
    log:
        "results/logs/tabulate_endpoints.log",
    conda:
        ENV
    params:
        settings=slices.tabulate_dose_response,
        caption=caption("endpoints"),
        agreement_caption=caption("agreement"),
        code=code("tabulate_endpoints"),
    message:
        "Compare the endpoints"
    script:
        "../workflow_scripts/tabulate_endpoints.py"


rule tabulate_texts:
    input:
        texts=plan.each(f"{CELL}/deaths/{{method}}.texts.parquet"),
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
        caption=caption("texts"),
        code=code("tabulate_texts"),
    message:
        "Tabulate the degeneration of texts"
    script:
        "../workflow_scripts/tabulate_texts.py"


rule tabulate_methods:
    input:
        calibrations=[each.calibration for each in plan.method_files()],
        geometry=[each.geometry for each in plan.method_files() if each.geometry],
        benchmarks=[path for each in plan.method_files() for path in each.benchmarks],
        forks=plan.each(f"{CELL}/rollouts/{{method}}.forks.parquet"),
        summaries=plan.each(f"{CELL}/survival/{{method}}.summary.parquet"),
        questions=study.data.questions,
    output:
        csv="results/tables/methods.csv",
        html=report(
            "results/tables/methods.html",
            caption="../report/methods_table.rst",
            category="Tables",
            labels={"table": "methods"},
        ),
        seeds_csv="results/tables/seeds.csv",
        seeds_html=report(
            "results/tables/seeds.html",
            caption="../report/seeds_table.rst",
            category="Tables",
            labels={"table": "seeds"},
        ),
    log:
        "results/logs/tabulate_methods.log",
    conda:
        ENV
    params:
        settings=slices.tabulate_methods,
        caption=caption("methods"),
        seeds_caption=caption("seeds"),
        code=code("tabulate_methods"),
    message:
        "Tabulate the methods"
    script:
        "../workflow_scripts/tabulate_methods.py"


rule tabulate_geometry:
    input:
        geometry=[each.geometry for each in plan.method_files(dosed=True)],
        steerings=[each.steering for each in plan.method_files(dosed=True)],
    output:
        csv="results/tables/geometry.csv",
        html=report(
            "results/tables/geometry.html",
            caption="../report/geometry_table.rst",
            category="Tables",
            labels={"table": "geometry"},
        ),
    log:
        "results/logs/tabulate_geometry.log",
    conda:
        ENV
    params:
        settings=slices.tabulate_geometry,
        caption=caption("geometry"),
        code=code("tabulate_geometry"),
    message:
        "Tabulate the geometry of the steerings"
    script:
        "../workflow_scripts/tabulate_geometry.py"


rule tabulate_delivered_kl:
    input:
        tokens=plan.each(f"{CELL}/rollouts/{{method}}.tokens.parquet"),
    output:
        table="results/tables/delivered_kl.parquet",
        csv="results/tables/delivered_kl.csv",
        html=report(
            "results/tables/delivered_kl.html",
            caption="../report/delivered_kl_table.rst",
            category="Dose",
            labels={"table": "delivered KL"},
        ),
    log:
        "results/logs/tabulate_delivered_kl.log",
    conda:
        ENV
    params:
        settings=slices.tabulate_aggregation,
        caption=caption("delivered_kl"),
        code=code("tabulate_delivered_kl"),
    message:
        "Tabulate the KL that the doses delivered"
    script:
        "../workflow_scripts/tabulate_delivered_kl.py"


rule tabulate_aggregation:
    input:
        tokens=plan.each(f"{CELL}/rollouts/{{method}}.tokens.parquet"),
        lifetimes=plan.each(f"{CELL}/survival/{{method}}.lifetimes.parquet"),
    output:
        table="results/tables/aggregation.parquet",
        csv="results/tables/aggregation.csv",
        html=report(
            "results/tables/aggregation.html",
            caption="../report/aggregation_table.rst",
            category="Tables",
            labels={"table": "aggregation"},
        ),
    log:
        "results/logs/tabulate_aggregation.log",
    conda:
        ENV
    params:
        settings=slices.tabulate_aggregation,
        caption=caption("aggregation"),
        code=code("tabulate_aggregation"),
    message:
        "Compare the statistics of KL"
    script:
        "../workflow_scripts/tabulate_aggregation.py"


rule tabulate_relevance:
    input:
        relevance=plan.each(f"{CELL}/relevance/{{method}}.parquet"),
        references=plan.each_model("results/{model}/reference/relevance.parquet"),
    output:
        table="results/tables/relevance.parquet",
        csv="results/tables/relevance.csv",
        html=report(
            "results/tables/relevance.html",
            caption="../report/relevance_table.rst",
            category="Tables",
            labels={"table": "relevance"},
        ),
    log:
        "results/logs/tabulate_relevance.log",
    conda:
        ENV
    params:
        settings=slices.tabulate_relevance,
        caption=caption("relevance"),
        code=code("tabulate_relevance"),
    message:
        "Tabulate how many texts are not about their question"
    script:
        "../workflow_scripts/tabulate_relevance.py"


rule tabulate_answers:
    input:
        forks=plan.each(f"{CELL}/rollouts/{{method}}.forks.parquet"),
        questions=study.data.questions,
    output:
        csv="results/tables/answers.csv",
        html=report(
            "results/tables/answers.html",
            caption="../report/answers_table.rst",
            category="Tables",
            labels={"table": "answers"},
        ),
    log:
        "results/logs/tabulate_answers.log",
    conda:
        ENV
    params:
        settings=slices.tabulate_answers,
        caption=caption("answers"),
        code=code("tabulate_answers"),
    message:
        "Tabulate what is answered at every dose"
    script:
        "../workflow_scripts/tabulate_answers.py"
