"""The threshold of death of each probe, and the gate: a probe that the unsteered model fails measures nothing."""

from typing import Any

from steerdose.errors import SteerdoseError
from steerdose.files import read_json, write_json
from steerdose.study.config import Threshold
from steerdose.study.settings import SetThreshold

Audit = dict[str, dict[str, Any]]


def set_threshold(*, audit: str, texts: str, settings: SetThreshold, threshold: str) -> None:
    """Write of each probe that is read in rollouts the threshold and the median that it is of.

    Raises SteerdoseError where the unsteered model fails one of these probes, see `check_probes`, and where it is not
    prompted as it should be, see `check_texts`.
    """
    found = read_json(audit)
    check_texts(read_json(texts), settings.maximum_base_rep_4, settings.maximum_nll_ratio)
    check_probes(found, settings.probes, settings.minimum_base_pmass)
    write_json(set_thresholds(found, settings.probes, settings.threshold), threshold)


def check_texts(health: dict[str, float | None], most_repeated: float, ratio: float) -> None:
    """Raise SteerdoseError where unsteered texts loop, or where a plain text is far less likely behind a prompt.

    health: as `outcomes.audit.text_health` returns it. ratio: the largest nll_chat / nll_plain.
    """
    remedy = (
        "The prompts do not begin or end as this model was trained: compare models.<name>.chat_template with its "
        "documentation, the beginning-of-sequence token first; a base model needs chat_template: plain"
    )
    repeated, plain, behind = health["median_rep_4"], health["nll_plain"] or 0.0, health["nll_chat"] or 0.0
    if repeated is not None and repeated > most_repeated:
        raise SteerdoseError(
            f"the unsteered model repeats itself: half of its texts repeat {repeated:.0%} of their 4-grams or more, "
            f"survival.maximum_base_rep_4 is {most_repeated}. {remedy}"
        )
    if behind > ratio * plain:
        raise SteerdoseError(
            f"behind a prompt the unsteered model finds a plain text far less likely: {behind:.2f} nats a token, not "
            f"{plain:.2f}, survival.maximum_nll_ratio is {ratio}. {remedy}"
        )


def check_probes(audit: Audit, probes: tuple[str, ...], minimum: float) -> None:
    """Raise SteerdoseError where one of the probes has an unsteered median pmass below the minimum.

    audit: by probe, of all that were audited: `median_pmass`, and `likely`, the most likely next tokens with counts.
    """
    passing = {name: row["median_pmass"] for name, row in audit.items() if row["median_pmass"] >= minimum}
    for name in probes:
        if name not in passing:
            likely = ", ".join(f"'{token}' {n}x" for token, n in audit[name]["likely"])
            others = ", ".join(f"{other} ({median:.4f})" for other, median in passing.items()) or "none"
            raise SteerdoseError(
                f"the unsteered model fails the probe {name}: its median pmass on the probe's answers is "
                f"{audit[name]['median_pmass']:.4f}, survival.minimum_base_pmass is {minimum}. The most likely next "
                f"tokens are {likely}. Audited probes that pass: {others}. Name one that passes in rollout.probes, or "
                f"change question, prefill or answers of probes.{name} so that the model answers with one of them"
            )


def set_thresholds(audit: Audit, probes: tuple[str, ...], chosen: Threshold) -> dict[str, dict[str, float]]:
    """Return of each probe `threshold`, the pmass under which a fork counts as dead, and `median_pmass`.

    audit: by probe, with the unsteered model's `median_pmass`. chosen: of kind `relative`: its value times that median;
    `absolute`: the value itself, refused where the median does not reach it.
    """
    thresholds = {}
    for name in probes:
        median = audit[name]["median_pmass"]
        threshold = chosen.value * median if chosen.kind == "relative" else chosen.value
        if median < threshold:
            raise SteerdoseError(
                f"survival.threshold is {threshold}, but the unsteered model's median pmass on the probe {name} is "
                f"{median:.4f}, so it would count as dead: lower it, make it relative (kind: relative, value: 0.75), "
                "or read another probe"
            )
        thresholds[name] = {"threshold": threshold, "median_pmass": median, "splits": audit[name]["splits"]}
    return thresholds
