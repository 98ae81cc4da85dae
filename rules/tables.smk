"""Tables across methods, from small files alone."""


rule tabulate_methods:
    input:
        calibrations=[cell["calibration"] for cell in method_files()],
        geometry=[cell["geometry"] for cell in method_files() if cell["geometry"]],
        benchmarks=[path for cell in method_files() for path in cell["benchmarks"]],
        forks=study_methods(f"{CELL}/rollouts/{{method}}.forks.parquet"),
        summaries=study_methods(f"{CELL}/survival/{{method}}.summary.parquet"),
        questions=config["data"]["questions"],
    output:
        csv="results/tables/methods.csv",
        html="results/tables/methods.html",
        seeds_csv="results/tables/seeds.csv",
        seeds_html="results/tables/seeds.html",
    log:
        "results/logs/tabulate_methods.log",
    conda:
        ENV
    params:
        settings=settings(cells=method_files(), probe=config["rollout"]["probes"][0]),
        code=code("tabulate_methods"),
    message:
        "Tabulate the methods"
    script:
        "../workflow_scripts/tabulate_methods.py"


rule tabulate_geometry:
    input:
        geometry=study_methods(f"{CELL}/steering/{{method}}.geometry.json", steered_methods()),
        steerings=study_methods(f"{CELL}/steering/{{method}}.safetensors", steered_methods()),
    output:
        csv="results/tables/geometry.csv",
        html="results/tables/geometry.html",
    log:
        "results/logs/tabulate_geometry.log",
    conda:
        ENV
    params:
        settings=settings(cells=study_cells(steered_methods())),
        code=code("tabulate_geometry"),
    message:
        "Tabulate the geometry of the steerings"
    script:
        "../workflow_scripts/tabulate_geometry.py"
