"""Write what lm-eval finds of one task under one method at one dose, as JSON."""

from steerdose.flow.jobs import open_job

with open_job(snakemake) as job:
    from steerdose.exchange.harness import run_lm_eval

    job.run(run_lm_eval)
