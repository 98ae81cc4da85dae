"""Tables across methods, from small files alone."""


rule tabulate_geometry:
    input:
        geometry=[f"{CELL}/steering/{{method}}.geometry.json".format(**cell) for cell in study_cells()],
    output:
        csv="results/tables/geometry.csv",
        html="results/tables/geometry.html",
    log:
        "results/logs/tabulate_geometry.log",
    conda:
        ENV
    params:
        settings=settings(cells=study_cells()),
        code=code("tabulate_geometry"),
    message:
        "Tabulate the geometry of the steerings"
    script:
        "../workflow_scripts/tabulate_geometry.py"
