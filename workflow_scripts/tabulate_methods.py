"""Write the table of methods and its spread over seeds, as CSV and HTML."""

from steerdose.flow.jobs import open_job

with open_job(snakemake) as job:
    from steerdose.tables.methods import METHODS_CAPTION, SEEDS_CAPTION, methods_table, over_seeds
    from steerdose.tables.publish import write_csv, write_html

    methods = methods_table(
        job.settings["cells"], job.input.forks, job.input.summaries, job.input.questions, job.settings["probe"]
    )
    seeds = over_seeds(methods)
    write_csv(methods, job.output.csv)
    write_html(methods, job.output.html, title="Methods", caption=METHODS_CAPTION, n_names=5)
    write_csv(seeds, job.output.seeds_csv)
    write_html(seeds, job.output.seeds_html, title="Methods over seeds", caption=SEEDS_CAPTION)
