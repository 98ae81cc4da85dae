"""Draw the KL of every trajectory over its own beginning."""

from steerdose.flow.jobs import open_job

with open_job(snakemake) as job:
    from steerdose.figures.kl_quantiles import read_lines
    from steerdose.figures.spaghetti_normalised import spaghetti_normalised_figure
    from steerdose.figures.style import save

    smoothing, head = job.settings["smoothing"], job.settings["head"]
    lines, medians = read_lines(job.input.tokens, job.input.lifetimes, smoothing, head)
    save(spaghetti_normalised_figure(lines, medians, **job.settings), job.output.png, job.output.svg)
