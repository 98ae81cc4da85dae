"""Draw quantiles of KL along the rollout."""

from steerdose.jobs import open_job

with open_job(snakemake) as job:
    from steerdose.figures import save
    from steerdose.kl_fan_figure import BINS, kl_fan_figure
    from steerdose.kl_quantiles import even_edges, read_quantiles

    edges = even_edges(job.settings["window"], BINS)
    quantiles = read_quantiles(job.input.tokens, job.input.lifetimes, edges)
    save(kl_fan_figure(quantiles, job.settings["fewest"]), job.output.png, job.output.svg)
