"""The table of what may be said of directions that were named before training."""

from steerdose.declarations.subspaces import SUBSPACE_CLAIMS, SUBSPACE_PARTS, SUBSPACES
from steerdose.files import read_table, typed, write_csv
from steerdose.subspaces.claims import claims
from steerdose.tables.publish import write_html


def tabulate_subspace_claims(*, subspaces: str, parts: str, caption: str, csv: str, html: str) -> None:
    """Write what may be said: over all seeds, where there are several."""
    found = claims(read_table(subspaces, SUBSPACES), read_table(parts, SUBSPACE_PARTS))
    frame = typed(list(found), SUBSPACE_CLAIMS)
    write_csv(frame, csv, SUBSPACE_CLAIMS)
    write_html(frame, html, SUBSPACE_CLAIMS, caption, n_names=6)
