"""Draw the KL of every trajectory over its own beginning."""

from steerdose.jobs import open_job

with open_job(snakemake) as job:
    from steerdose.figures import save
    from steerdose.kl_quantiles import read_lines
    from steerdose.spaghetti_normalised_figure import spaghetti_normalised_figure

    smoothing, head = job.settings["smoothing"], job.settings["head"]
    lines, medians = read_lines(job.input.tokens, job.input.lifetimes, smoothing, head)
    save(spaghetti_normalised_figure(lines, medians, **job.settings), job.output.png, job.output.svg)
