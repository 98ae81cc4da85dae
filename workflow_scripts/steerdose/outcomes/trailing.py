"""What the last tokens of a text are like, at every token of it: how much they repeat, and how surprising they are.

Measures are means, over a trailing stretch, of a number that each token has; more is worse. Repetition sees loops and
misses word salad, the NLL under the unsteered model is the other way round. A text may also do some of both: loops of
a sound model are not surprising, and its surprising texts do not loop, so the product of the two is small for either.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

N_GRAM = 4
MEASURES = ("repetition", "nll", "joint")
Series = Mapping[str, np.ndarray]


def series_of(text: Any, nll: Any, memory: int) -> dict[str, np.ndarray]:
    """Return the numbers of every token, (tokens,) each.

    repetition: 1 where the 4-gram that ends here also ended at one of the `memory` tokens before, else 0. So in a loop
    of any phrase of at most `memory` tokens it is 1 from the second round on. nll: nats under the unsteered model.
    """
    ids = np.asarray(text, dtype=np.int64)
    repeated = np.zeros(len(ids))
    if len(ids) > N_GRAM:
        grams = np.lib.stride_tricks.sliding_window_view(ids, N_GRAM)
        _, which = np.unique(grams, axis=0, return_inverse=True)
        order = np.argsort(which.ravel(), kind="stable")
        again = (np.diff(which.ravel()[order]) == 0) & (np.diff(order) <= memory)
        repeated[order[1:][again] + N_GRAM - 1] = 1
    return {"repetition": repeated, "nll": np.asarray(nll, dtype=np.float64)}


def trailing_mean(values: np.ndarray, length: int) -> np.ndarray:
    """Return the mean of the last `length` values at every place, (tokens,); NaN where there are fewer."""
    found = np.full(len(values), np.nan)
    if len(values) >= length:
        sums = np.cumsum(np.r_[0.0, values])
        found[length - 1 :] = (sums[length:] - sums[:-length]) / length
    return found


def measures_of(series: Series, lengths: Mapping[str, int]) -> dict[str, np.ndarray]:
    """Return `MEASURES` at every token, (tokens,) each; NaN where the text is still too short.

    lengths: tokens of the trailing stretch of repetition and nll. joint: the product of both over the former's stretch.
    """
    means = {name: trailing_mean(series[name], lengths[name]) for name in series}
    return means | {"joint": means["repetition"] * trailing_mean(series["nll"], lengths["repetition"])}


def highest(series: Series, lengths: Mapping[str, int]) -> dict[str, float]:
    """Return the largest value of each measure that a text ever reaches; -inf where it is too short for one."""
    found = measures_of(series, lengths)
    return {name: float(np.nanmax(values, initial=-np.inf)) for name, values in found.items()}


def onset(values: np.ndarray, level: float, at: int, length: int) -> int:
    """Return after how many tokens the trailing stretch that rings at token `at` (from 1) began to be broken.

    values: (tokens,). It is the place, within the last `length` tokens, from which the excess over the level sums up to
    the most: the maximum-likelihood place of a change (Page, 1954, Biometrika 41).
    """
    excess = (values - level)[at - length : at]
    return at - length + int(np.argmax(np.cumsum(excess[::-1])[::-1]))


def onset_of(measure: str, series: Series, band: float, at: int, lengths: Mapping[str, int]) -> int:
    """Return the `onset` of what one measure rings at; of joint, that of the repetition, at half its present mean."""
    if measure != "joint":
        return onset(series[measure], band, at, lengths[measure])
    length = lengths["repetition"]
    return onset(series["repetition"], series["repetition"][at - length : at].mean() / 2, at, length)
