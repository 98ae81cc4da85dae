"""Draw the KL of every trajectory: one panel an alpha."""

from steerdose.flow.jobs import open_job

with open_job(snakemake) as job:
    from steerdose.figures.kl_quantiles import read_lines
    from steerdose.figures.spaghetti import spaghetti_figure
    from steerdose.figures.style import save
    from steerdose.files import read_tables

    lines, medians = read_lines(job.input.tokens, job.input.lifetimes, job.settings["smoothing"])
    figure = spaghetti_figure(lines, medians, read_tables(job.input.calibrations), **job.settings)
    save(figure, job.output.png, job.output.svg)
