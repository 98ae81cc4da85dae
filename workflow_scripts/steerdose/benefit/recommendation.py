"""Which dose to take, what it buys and what it costs; and where that is not shown, that it is not.

One row a method and sign of one steering, since a coefficient belongs to one. Benefit is the effect on the task that
`benefit.effects` names for the behavior, damages those on the tasks of `benefit.damages`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from steerdose.benefit.effects import Sums, resampled
from steerdose.benefit.index import Curve, curve_of, heldout_effect, index_of, recommended, rising_effect
from steerdose.benefit.specificity import Kl, specificity
from steerdose.columns import SIGNS

Measure = tuple[str, str]  # task and measure


@dataclass(frozen=True)
class CellData:
    """What is known of one cell.

    sums: of the benefit, by method and alpha. effects: rows of the table of effects. lives: lifetimes by the deciding
    endpoint. lethal: rows of the table of doses. shares: of dead by dose. kl: delivered. controls: methods that push at
    random. prompts: those without a dose.
    """

    sums: Mapping[str, Mapping[float, Sums]]
    benefit: Measure
    effects: pl.DataFrame
    lives: pl.DataFrame
    lethal: pl.DataFrame
    shares: pl.DataFrame
    kl: Kl
    controls: Sequence[str]
    prompts: Sequence[str]


def curves_of(data: CellData) -> dict[tuple[str, str], Curve]:
    """Return the effect curve of every method with a dose, by method and sign."""
    own = data.effects.filter(task=data.benefit[0], measure=data.benefit[1])
    found = {}
    for row in data.lethal.iter_rows(named=True):
        name, sign = row["method"], SIGNS[row["sign"]]
        doses = {abs(alpha): sums for alpha, sums in data.sums.get(name, {}).items() if alpha * sign > 0}
        here = pl.col("alpha") * sign > 0
        dead = dict(data.shares.filter(here, method=name).select(pl.col("alpha").abs(), "fitted").iter_rows())
        q = dict(own.filter(here, method=name).select(pl.col("alpha").abs(), pl.col("q").fill_null(1.0)).iter_rows())
        if doses:
            found[name, row["sign"]] = curve_of(doses, sign, dead, q)
    return found


def recommendations(data: CellData, damages: Sequence[Measure], confidence: float) -> list[dict[str, Any]]:
    """Return a row a method and sign of a cell, see the table `dose`."""
    shares = {(row["method"], row["alpha"]): row for row in specificity(data.sums, data.controls, data.kl, confidence)}
    rows, curves = [], curves_of(data)
    for lethal in data.lethal.iter_rows(named=True):
        key = lethal["method"], lethal["sign"]
        row = {"method": key[0], "sign": key[1], "benefit": ".".join(data.benefit)}
        row |= {name: lethal[name] for name in ("ld50", "safe_dose")}
        if key not in curves:
            rows.append(row | {"verdict": "not measured"})
            continue
        curve, sign = curves[key], SIGNS[key[1]]
        lives = data.lives.filter(pl.col("alpha") * sign > 0, method=key[0])
        row |= index_of(curve, lives, lethal, confidence)
        row["detectable"] = _detectable(data, key[0], sign)
        place = recommended(curve, lethal["safe_dose"], confidence)
        if place is None:
            shown = curve.effective(confidence).any()
            rows.append(row | {"verdict": "no safe dose" if shown else "no effect shown"})
            continue
        alpha = sign * float(curve.dose[place])
        row |= _at(data, key[0], alpha, damages)
        row["effect_heldout"] = heldout_effect(curve, lethal["safe_dose"], confidence)
        row |= {name: shares.get((key[0], alpha), {}).get(name) for name in ("share", "share_low", "share_high")}
        row |= _against_prompts(data, key[0], alpha, confidence)
        rows.append(row | {"verdict": _verdict(key[0] in data.controls, row["over_prompt_low"])})
    return rows


def _verdict(is_control: bool, over_prompt: float | None) -> str:
    """Return the verdict on a dose that shows an effect and is safe. over_prompt: lower bound of what it has more."""
    if is_control:
        return "a control"
    return "prompt is as good" if over_prompt is not None and over_prompt <= 0 else "recommended"


def _detectable(data: CellData, method: str, sign: float) -> float | None:
    """Return the median over doses of the effect that would have been found."""
    own = data.effects.filter(pl.col("alpha") * sign > 0, method=method, task=data.benefit[0], measure=data.benefit[1])
    found = own["detectable"].median()
    return None if found is None else float(found)  # type: ignore[arg-type]


def _at(data: CellData, method: str, alpha: float, damages: Sequence[Measure]) -> dict[str, Any]:
    """Return what is known of a method at the recommended dose: effect, share broken, damages."""
    own = data.effects.filter(method=method, alpha=alpha)
    (benefit,) = own.filter(task=data.benefit[0], measure=data.benefit[1]).iter_rows(named=True)
    (broken,) = data.shares.filter(method=method, alpha=alpha).iter_rows(named=True)
    row = {"alpha": alpha, "coefficient": broken["coefficient"]}
    low, high = sorted(np.sign(alpha) * benefit[f"effect_{end}"] for end in ("low", "high"))
    row |= {"effect": np.sign(alpha) * benefit["effect"], "effect_low": low, "effect_high": high}
    row |= {"dead": broken["dead"], "dead_high": broken["dead_high"]}
    for task, measure in damages:
        (found,) = own.filter(task=task, measure=measure).iter_rows(named=True)
        name = damage_name((task, measure))
        row |= {f"{name}{end}": found[f"effect{end}"] for end in ("", "_low", "_high")}
    return row


def damage_name(measure: Measure) -> str:
    """Return the column of a damage."""
    return f"change_{'.'.join(measure)}"


def _against_prompts(data: CellData, method: str, alpha: float, confidence: float) -> dict[str, Any]:
    """Return the prompt of the same sign with the largest effect, and by how much the dose's effect exceeds it."""
    names = ("prompt", "prompt_effect", "over_prompt", "over_prompt_low", "over_prompt_high")
    sign = 1.0 if alpha > 0 else -1.0
    theirs = {name: data.sums[name][sign] for name in data.prompts if sign in data.sums.get(name, {})}
    if not theirs:
        return dict.fromkeys(names)
    own = data.sums[method][alpha]
    weights = resampled(own.n_clusters)
    drawn = {name: sign * sums.estimates(weights)["effect"] for name, sums in theirs.items()}
    best = max(drawn, key=lambda name: drawn[name][0])
    over = sign * own.estimates(weights)["effect"] - drawn[best]
    low, high = np.quantile(over[1:], [(1 - confidence) / 2, (1 + confidence) / 2])
    return dict(zip(names, (best, float(drawn[best][0]), float(over[0]), float(low), float(high)), strict=True))


def effect_lines(data: CellData, confidence: float) -> list[dict[str, Any]]:
    """Return a row a method, sign and dose, 0 among them: effect toward the sign, interval, rising fit."""
    rows = []
    for (method, sign), curve in curves_of(data).items():
        low, high = curve.bounds(confidence)
        fitted = [None if np.isnan(value) else float(value) for value in rising_effect(curve)]
        place = {"method": method, "sign": sign}
        rows.append({**place, "dose": 0.0, "effect": 0.0, "effect_low": 0.0, "effect_high": 0.0, "fitted": fitted[0]})
        rows += [
            {**place, "dose": dose, "effect": effect, "effect_low": lower, "effect_high": upper, "fitted": fit}
            for dose, effect, lower, upper, fit in zip(
                curve.dose.tolist(), curve.effect[0].tolist(), low.tolist(), high.tolist(), fitted[1:], strict=True
            )
        ]
    return rows
