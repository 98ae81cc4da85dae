"""The card of an export, in Markdown: which dose it is, what was measured at it, what that does not say."""

import json
import os
from pathlib import Path
from typing import Any

import polars as pl

from steerdose.declarations.passed import CURVE, SUMMARIES
from steerdose.exchange.write import base_of, dose_of, possible_formats
from steerdose.files import read_json, read_table, replacing
from steerdose.model.loading import load_model
from steerdose.steering.steering import Steering

LOADING = {
    "peft": """\
Adapter (`peft/`), for PEFT; its scaling is 1, so leave it alone:

```python
base = transformers.AutoModelForCausalLM.from_pretrained({base})
model = peft.PeftModel.from_pretrained(base, "peft")
tokenizer = transformers.AutoTokenizer.from_pretrained({base})
```""",
    "model": """\
Merged model (`model/`, fp32), for anything that reads Hugging Face directories:

```python
model = transformers.AutoModelForCausalLM.from_pretrained("model")
tokenizer = transformers.AutoTokenizer.from_pretrained("model")
```""",
    "control_vector.gguf": """\
Control vector (`control_vector.gguf`), for llama.cpp with a GGUF of the same model; the dose is built in, so leave the
scale at 1. `direction.i` is added behind block i, counted from 0:

```sh
llama-cli -m base.gguf --control-vector control_vector.gguf
```""",
}
NOT_HELD = """\
No exchange format holds these edits. With steerdose itself:

```python
model = transformers.AutoModelForCausalLM.from_pretrained({base})
with steer(model, Steering.load("{steering}"), {coefficient:.8g}):
    output = model.generate(**inputs)
```"""


def survived(summary: pl.DataFrame, curve: pl.DataFrame, alpha: float) -> pl.DataFrame:
    """Return counts, S at the window and restricted mean with intervals, of the unsteered model and of this alpha.

    A row (alpha, n, died, censored, rmst, rmst_low, rmst_high, t, survival, ci_low, ci_high) each; none where that
    alpha was not rolled out.
    """
    window = curve.filter(pl.col("t") == pl.col("t").max()).select("alpha", "t", "survival", "ci_low", "ci_high")
    rows = summary.select("alpha", "n", "died", "censored", "rmst", "rmst_low", "rmst_high").join(window, on="alpha")
    return rows.filter((pl.col("alpha") == alpha) | (pl.col("alpha") == 0)).sort(pl.col("alpha") != 0)


def survival_text(rows: pl.DataFrame, alpha: float, rolled_out: list[float], confidence: float) -> str:
    """Return the section on survival; where this alpha was not rolled out it says so and which ones were."""
    if rows.filter(alpha=alpha).is_empty():
        listed = ", ".join(f"{value:g}" for value in sorted(rolled_out))
        return (
            f"**Nothing was measured at alpha {alpha:g}**; rolled out were {listed}. Add {alpha:g} to `rollout.alphas` "
            "in config.yaml and ask for this card again."
        )
    lines = [
        "How many trajectories can still answer a question at the end of the window (Kaplan-Meier). The unsteered row",
        "is the noise of the instrument. Mean: tokens until a trajectory no longer can, at most the window (restricted",
        "mean).",
        "",
        f"| | n | died | censored | S(end) | {confidence:.0%} interval | mean | {confidence:.0%} interval |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in rows.iter_rows(named=True):
        name = f"alpha {row['alpha']:g}" if row["alpha"] else "unsteered"
        interval = f"{row['ci_low']:.3f} to {row['ci_high']:.3f}"
        counts = f"{row['n']} | {row['died']} | {row['censored']}"
        mean = f"{row['rmst']:.1f} | {row['rmst_low']:.1f} to {row['rmst_high']:.1f}"
        lines.append(f"| {name} | {counts} | {row['survival']:.3f} | {interval} | {mean} |")
    return "\n".join([*lines, "", f"end: {rows['t'][0]} generated tokens."])


def caveats(alpha: float, found: dict[str, Any], sign: dict[str, Any]) -> list[str]:
    """Return what a reader must know before trusting the dose. found: calibration.json; sign: its entry of the sign."""
    notes = []
    if not sign["converged"]:
        notes.append(f"The calibration did not converge: {sign['reason']}.")
    if sign["audit"] is None:
        notes.append(
            f"On held-out prompts alpha {'-1' if alpha < 0 else '1'} was too strong to measure: logits overflowed, or "
            "every answer was empty."
        )
    elif abs(sign["audit"] / sign["target"] - 1) > found["tolerance"]:
        notes.append(
            f"On held-out prompts alpha {'-1' if alpha < 0 else '1'} gives {sign['audit']:.4g}, outside the tolerance "
            f"of {found['tolerance']:.0%}: the dose depends on the prompts."
        )
    if abs(alpha) != 1:
        notes.append(f"Only alpha 1 and -1 are calibrated; the KL at alpha {alpha:g} follows no rule.")
    return [
        *notes,
        "The dose holds for these weights. Another quantisation or fine-tune of the same model is another model.",
        "Files are in float32; at a lower precision logits differ, and small KLs with them.",
        "Survival is the ability to answer at all, not the quality of the answers, and not the steered behavior.",
        "One seed of the answers and of the training; other seeds give other vectors.",
    ]


def write_card(
    *,
    model: str,
    steering: str,
    calibration: str,
    summary: str,
    curve: str,
    cell: dict[str, Any],
    alpha: float,
    settings: dict[str, Any],
    output: str,
) -> None:
    """Write card.md for one alpha of one method. settings: `confidence`, the level of the survival interval."""
    source, found, totals = read_json(f"{model}/source.json"), read_json(calibration), read_table(summary, SUMMARIES)
    vector, coefficient = Steering.load(steering), dose_of(alpha, calibration)
    name = "negative" if alpha < 0 else "positive"
    sign, (base, revision) = found[name], base_of(model)
    formats = possible_formats(load_model(model, device="cpu", train=True).model, vector)
    here = Path(output).parent
    call = (
        f"{json.dumps(base)}, revision={json.dumps(revision)}" if revision else json.dumps(os.path.relpath(base, here))
    )
    held = "\n\n".join(LOADING[key].format(base=call) for key in formats)
    loading = (
        f"What can hold this steering; each is a target of its own. Paths are seen from this folder.\n\n{held}"
        if held
        else NOT_HELD.format(base=call, steering=os.path.relpath(steering, here), coefficient=coefficient)
    )
    rows = survived(totals, read_table(curve, CURVE), alpha)
    kinds = ", ".join(sorted({type(edit).__name__ for _, edit in vector.edits}))
    met, meets = ("converged", "meets") if sign["converged"] else ("not converged", "comes closest to")
    target = f"{sign['target']:g}"
    audit = "not measured" if sign["audit"] is None else f"{sign['audit']:.4g}"
    if isinstance(found["target"], dict):
        target += f" (the KL of {found['target']['prompt']})"
    notes = "\n".join(f"* {note}" for note in caveats(alpha, found, sign))
    text = f"""\
---
base_model: {json.dumps(base)}
tags: [steering, steerdose]
---

# {cell["model"]} steered by {cell["method"]}, {cell["behavior"]}, alpha {alpha:g}

Coefficient {coefficient:.6g}, which is {alpha:g} times {sign["c_star"]:.6g}, the coefficient at which the \
{found["statistic"]} of the KL to the unsteered model
{meets} its target ({name} sign, toward the {name} persona).

| | |
|---|---|
| method | {cell["method"]} ({kinds}; modules: {len(vector.edits)}), seed {cell["seed"]} |
| model | `{source["source"]}`{f" at `{revision}`" if revision else ""} |
| sha256 of the model's weights | `{source["sha256"]}` |
| statistic | {found["statistic"]} of the KL over prompts x tokens, nats |
| target, achieved at alpha {"-1" if alpha < 0 else "1"} | {target}, {sign["statistic"]:.4g} ({met}) |
| audit on held-out prompts | {audit} |

## What survived

{survival_text(rows, alpha, totals["alpha"].to_list(), settings["confidence"])}

## Caveats

{notes}

## Loading

{loading}
"""
    with replacing(output) as temporary:
        temporary.write_text(text, encoding="utf-8")
