"""Write the bases of every layer, {kind}.{layer}: (width, columns) orthonormal, and the angles between families."""

from steerdose.flow.jobs import open_job

with open_job(snakemake) as job:
    from steerdose.make.bases import share_bases

    job.run(share_bases)
