"""Write the random control of another method's steering, and its geometry.json."""

from steerdose.flow.jobs import open_job

with open_job(snakemake) as job:
    from steerdose.make.controls import draw_control

    job.run(draw_control)
