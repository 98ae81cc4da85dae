"""The table of what may be said of where a delta's effect is."""

from steerdose.ablation.claims import claims
from steerdose.declarations.ablations import ABLATION_CLAIMS, ABLATIONS
from steerdose.files import read_table, typed, write_csv
from steerdose.tables.publish import write_html

CLAIMED = ("model", "behavior", "method")


def tabulate_ablation_claims(*, ablations: str, caption: str, csv: str, html: str) -> None:
    """Write what may be said of where each delta's effect is: over all seeds, where there are several."""
    rows, found = read_table(ablations, ABLATIONS), []
    for place, own in rows.filter(at="coefficient").group_by(*CLAIMED, maintain_order=True):
        seeds = int(own["seeds"].max())  # type: ignore[arg-type]
        for claim in claims(own.filter(seeds=seeds).to_dicts(), seeds):
            found.append({**dict(zip(CLAIMED, place, strict=True)), "seeds": seeds, **claim})
    frame = typed(found, ABLATION_CLAIMS)
    write_csv(frame, csv, ABLATION_CLAIMS)
    write_html(frame, html, ABLATION_CLAIMS, caption, n_names=6)
