"""Tabulate the death events that text and KL tell, and how far they agree with the probe's."""

from steerdose.flow.jobs import open_job

with open_job(snakemake) as job:
    from steerdose.files import read_tables
    from steerdose.tables.death_events import (
        AGREEMENT_CAPTION,
        EVENTS_CAPTION,
        death_events,
        event_agreement,
        event_counts,
    )
    from steerdose.tables.publish import write_csv, write_html

    prefixes, lifetimes = read_tables(job.input.prefixes), read_tables(job.input.lifetimes)
    quantile, multiple = job.settings["quantile"], job.settings["kl_multiple"]
    events = death_events(prefixes, lifetimes, read_tables(job.input.calibrations), quantile, multiple)
    counts, agreement = event_counts(events), event_agreement(events, job.settings["confidence"])
    write_csv(counts, job.output.csv)
    write_html(counts, job.output.html, title="Death events", caption=EVENTS_CAPTION)
    write_csv(agreement, job.output.agreement_csv)
    write_html(
        agreement, job.output.agreement_html, title="Agreement of death events", caption=AGREEMENT_CAPTION, n_names=6
    )
