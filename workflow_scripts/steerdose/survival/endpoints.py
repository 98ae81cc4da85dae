"""What a trajectory's death is: each endpoint finds the stretches of a trajectory in which it is broken.

An endpoint is a function of one trajectory, its options and the study's limits, registered under its kind. Time and
event follow from the stretches in one way for all of them, see `life`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from steerdose.dose.kl_statistics import trailing_statistic
from steerdose.outcomes.trailing import measures_of, onset_of, series_of
from steerdose.study.endpoints import AnswerEndpoint, FirstDipEndpoint, KlEndpoint, TextEndpoint

Stretch = tuple[int, float]  # broken after so many tokens, and sound again after so many; inf: to the end


@dataclass(frozen=True)
class Readings:
    """What the steered model answers to one probe at its forks. t, pmass, is_answer: (forks,)."""

    t: np.ndarray
    pmass: np.ndarray
    is_answer: np.ndarray


@dataclass(frozen=True)
class Course:
    """One trajectory. text: token ids, nll and kl: nats, (tokens,) each. probes: by name, the first decides."""

    text: np.ndarray
    nll: np.ndarray
    kl: np.ndarray
    probes: Mapping[str, Readings]


@dataclass(frozen=True)
class Limits:
    """What the unsteered model and the calibration say is still sound.

    bands: of an endpoint of kind text, by measure. thresholds: of pmass, by probe. target: nats, of the calibration's
    statistic; None of a prompt, which has no dose.
    """

    bands: Mapping[str, float]
    thresholds: Mapping[str, float]
    statistic: str
    target: float | None


KINDS: dict[str, Callable[..., list[Stretch] | None]] = {}


def endpoint(kind: str) -> Callable[[Callable[..., list[Stretch] | None]], Callable[..., list[Stretch] | None]]:
    """Register the function of a kind; it returns None where the endpoint is not defined for a trajectory."""

    def register(function: Callable[..., list[Stretch] | None]) -> Callable[..., list[Stretch] | None]:
        KINDS[kind] = function
        return function

    return register


@endpoint("text")
def broken_text(course: Course, options: TextEndpoint, limits: Limits) -> list[Stretch]:
    """Find where a trailing measure of the text lies above its band for `stretch` tokens, or to the end.

    The stretch begins at the earliest `onset` of the measures that ring, and ends with the last token that rings. Two
    with less than `stretch` sound tokens between them are one.
    """
    series = series_of(course.text, course.nll, options.repetition_tokens)
    means = measures_of(series, options.lengths)
    rings = {name: np.nan_to_num(means[name], nan=-np.inf) > limits.bands[name] for name in means}
    found: list[Stretch] = []
    for first, last in _joined(_runs(np.any(list(rings.values()), axis=0)), options.stretch):
        at_end = last == len(course.text)
        if last - first + 1 < options.stretch and not at_end:
            continue
        ringing = [name for name in rings if rings[name][first - 1]]
        start = min(onset_of(name, series, limits.bands[name], first, options.lengths) for name in ringing)
        found.append((start, np.inf if at_end else last))
    return found


@endpoint("answer")
def no_answer(course: Course, options: AnswerEndpoint, limits: Limits) -> list[Stretch]:
    """Find forks in a row at which most probes get no answer: its likeliest token is none, or pmass is too low."""
    fails = [~read.is_answer | (read.pmass < limits.thresholds[name]) for name, read in course.probes.items()]
    (t, *_) = (read.t for read in course.probes.values())
    broken = 2 * np.sum(fails, axis=0) > len(fails)
    runs = [(first, last) for first, last in _runs(broken) if last - first + 1 >= options.forks]
    return [(int(t[first - 1]), float(t[last]) if last < len(t) else np.inf) for first, last in runs]


@endpoint("first_dip")
def first_dip(course: Course, options: FirstDipEndpoint, limits: Limits) -> list[Stretch]:  # noqa: ARG001
    """Find the first fork at which the deciding probe's pmass is below its threshold; it is broken from then on."""
    name, read = next(iter(course.probes.items()))
    below = np.flatnonzero(read.pmass < limits.thresholds[name])
    return [(int(read.t[below[0]]), np.inf)] if len(below) else []


@endpoint("kl")
def high_kl(course: Course, options: KlEndpoint, limits: Limits) -> list[Stretch] | None:
    """Find where the trailing statistic of KL lies above the multiple of the target."""
    if limits.target is None:
        return None
    above = trailing_statistic(course.kl, limits.statistic, options.tokens) > options.multiple * limits.target
    return [(first, float(last) if last < len(above) else np.inf) for first, last in _runs(above)]


@dataclass(frozen=True)
class Life:
    """Time and event of a trajectory by one endpoint.

    duration: tokens until it died, ended, or reached the window. recovered: whether it was sound again after its death.
    """

    duration: int
    died: bool
    ended: bool
    recovered: bool


def life(stretches: Sequence[Stretch], n_tokens: int, ended: bool, steered: bool, window: int) -> Life:
    """Return time and event. A steered answer of no token is a death at 0, whatever the endpoint.

    `ended`, the end of turn before the window, is an event of its own where nothing broke before it.
    """
    if ended and n_tokens == 0 and steered:
        return Life(0, died=True, ended=False, recovered=False)
    if not stretches:
        return Life(min(n_tokens, window) if ended else window, died=False, ended=ended, recovered=False)
    start, _ = stretches[0]
    recovered = any(stop < n_tokens for _, stop in stretches)
    return Life(start, died=True, ended=False, recovered=recovered)


def is_broken(stretches: Sequence[Stretch], times: np.ndarray) -> np.ndarray:
    """Whether a trajectory is broken at each of the times, (times,): from the start of a stretch until its end."""
    return np.any([(times >= start) & (times < stop) for start, stop in stretches] or [times < 0], axis=0)


def _runs(marks: np.ndarray) -> list[tuple[int, int]]:
    """Return first and last place, counted from 1, of each run of true values."""
    edges = np.diff(np.r_[False, marks, False].astype(int))
    return list(zip((np.flatnonzero(edges == 1) + 1).tolist(), np.flatnonzero(edges == -1).tolist(), strict=True))


def _joined(runs: Sequence[tuple[int, int]], gap: int) -> list[tuple[int, int]]:
    """Return runs, those with less than `gap` places between them joined."""
    if not runs:
        return []
    apart = [i for i, (one, two) in enumerate(pairwise(runs), start=1) if two[0] - one[1] - 1 >= gap]
    parts = np.split(np.arange(len(runs)), apart)
    return [(runs[part[0]][0], runs[part[-1]][1]) for part in parts]
