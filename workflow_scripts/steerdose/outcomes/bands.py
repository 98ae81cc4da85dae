"""The bands of the text endpoints: how much an unsteered text repeats itself, and surprises, at its worst.

Each measure's band comes from the decoding that is hardest on it: NLL, and its product with repetition, from samples
at temperature 1, the model's own distribution, beyond which lies what it would not say; repetition from greedy texts,
which loop most.
"""

import logging
import math

import numpy as np
import polars as pl
from scipy.stats import binomtest

from steerdose.declarations.passed import REFERENCE_TOKENS
from steerdose.errors import SteerdoseError
from steerdose.files import read_table, write_json
from steerdose.outcomes.trailing import MEASURES, highest, series_of
from steerdose.study.endpoints import TextEndpoint
from steerdose.study.settings import SetBands

log = logging.getLogger(__name__)

HARDEST = {"repetition": "greedy", "nll": "sampled", "joint": "sampled"}  # the decoding that each band is set on


def set_bands(*, tokens: str, settings: SetBands, bands: str) -> None:
    """Write the bands of every endpoint of kind text, and how often texts that did not set them ring."""
    texts = reference_texts(read_table(tokens, REFERENCE_TOKENS))
    found = {}
    for name, options in settings.endpoints.items():
        worst = worst_of(texts, options)
        limits = bands_of(worst, options.size)
        alarms = {decoding: false_alarms(worst, options.size, decoding) for decoding in dict.fromkeys(HARDEST.values())}
        log.info("%s: bands %s, false alarms %s", name, limits, alarms)
        found[name] = {"bands": limits, "false_alarms": alarms}
    write_json(found, bands)


def reference_texts(tokens: pl.DataFrame) -> pl.DataFrame:
    """Return a row a reference text: decoding, prompt_id, sample, and the lists token_id and nll."""
    keys = ("decoding", "prompt_id", "sample")
    return tokens.group_by(keys, maintain_order=True).agg(pl.col("token_id", "nll").sort_by("t"))


def worst_of(texts: pl.DataFrame, options: TextEndpoint) -> pl.DataFrame:
    """Return decoding, prompt_id, and the largest value of each of `MEASURES` that the text ever reaches."""
    rows = [
        highest(series_of(ids, nll, options.repetition_tokens), options.lengths)
        for ids, nll in texts.select("token_id", "nll").iter_rows()
    ]
    return texts.select("decoding", "prompt_id").with_columns(
        [pl.Series(name, [row[name] for row in rows], dtype=pl.Float64) for name in MEASURES]
    )


def bands_of(worst: pl.DataFrame, size: float) -> dict[str, float]:
    """Return the band of each measure, so that at most `size` of unsteered texts of its decoding ever leave theirs.

    Measures of one decoding share its size evenly. Of n exchangeable texts, the next one is above the k-th smallest
    with a probability of at most 1 - k / (n + 1) (Vovk, Gammerman and Shafer, 2005), so k is the first that makes it
    small enough. On texts of another decoding a measure rarely rings; `false_alarms` says how often.
    """
    limits = {}
    for measure, decoding in HARDEST.items():
        share = size / list(HARDEST.values()).count(decoding)
        values = np.sort(worst.filter(decoding=decoding)[measure].to_numpy())
        k = math.ceil((len(values) + 1) * (1 - share))
        if k > len(values):
            raise SteerdoseError(
                f"{len(values)} {decoding} texts of the unsteered model are too few for an alarm that rings on "
                f"{share:g} of them: {math.ceil(1 / share) - 1} are wanted; raise reference.n_questions or n_samples"
            )
        limits[measure] = float(values[k - 1])
    return limits


def false_alarms(worst: pl.DataFrame, size: float, decoding: str) -> dict[str, float | int]:
    """Return how many texts of one decoding ring against the bands of all other prompts, with an exact 95 % interval.

    Texts of one prompt count as independent, which they are once the prompt's own are left out of the band.
    """
    rang: list[bool] = []
    for prompt in worst["prompt_id"].unique(maintain_order=True):
        limits = bands_of(worst.filter(pl.col("prompt_id") != prompt), size)
        own = worst.filter(decoding=decoding, prompt_id=prompt)
        rang += (
            own.select(pl.any_horizontal(pl.col(name) > limit for name, limit in limits.items())).to_series().to_list()
        )
    n, count = len(rang), sum(rang)
    low, high = binomtest(count, n).proportion_ci(0.95) if n else (0.0, 1.0)
    return {"n": n, "rang": count, "share": count / max(n, 1), "low": float(low), "high": float(high)}
