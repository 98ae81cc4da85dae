"""Draw quantiles of KL along the rollout."""

from steerdose.flow.jobs import open_job

with open_job(snakemake) as job:
    from steerdose.figures.kl_fan import BINS, kl_fan_figure
    from steerdose.figures.kl_quantiles import even_edges, read_quantiles
    from steerdose.figures.style import save

    edges = even_edges(job.settings["window"], BINS)
    quantiles = read_quantiles(job.input.tokens, job.input.lifetimes, edges)
    save(kl_fan_figure(quantiles, job.settings["fewest"]), job.output.png, job.output.svg)
