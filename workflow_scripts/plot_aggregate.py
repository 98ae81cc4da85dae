"""Draw KL above pmass, one pair of panels a method and dose."""

from steerdose.flow.jobs import open_job

with open_job(snakemake) as job:
    from steerdose.engine.fork_grid import fork_times
    from steerdose.figures.aggregate import aggregate_figure
    from steerdose.figures.kl_quantiles import fork_quantiles, read_quantiles
    from steerdose.figures.style import save
    from steerdose.files import read_json, read_tables

    probe, files = job.settings["probe"], zip(job.settings["models"], job.input.thresholds, strict=True)
    thresholds = {model: read_json(file)[probe]["threshold"] for model, file in files}
    edges = sorted({0, *fork_times(job.settings["window"], **job.settings["forks"])})
    kl = read_quantiles(job.input.tokens, job.input.lifetimes, edges)
    pmass = fork_quantiles(read_tables(job.input.forks), probe)
    figure = aggregate_figure(kl, pmass, thresholds, job.settings["fewest"])
    save(figure, job.output.png, job.output.svg)
