"""The card of an export, in Markdown: which dose it is, what was measured at it, what that does not say."""

import json
import os
from pathlib import Path
from typing import Any

import polars as pl

from steerdose.columns import SIGNS, Cell, deciding, sign_of
from steerdose.declarations.passed import CURVE, SUMMARIES
from steerdose.exchange.record import Dose, record
from steerdose.exchange.record import recommended as of_study
from steerdose.exchange.write import dose_of, possible_formats
from steerdose.files import read_json, read_table, replacing, write_json
from steerdose.model.architecture import find_blocks
from steerdose.model.loading import load_model
from steerdose.steering.steering import Steering
from steerdose.study.published import WriteCard

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
MOST_LISTED = 4  # modules
BASE = "path/to/base"  # where the source is no hub id
NOT_HELD = """\
No exchange format holds these edits. With steerdose itself:

```python
model = transformers.AutoModelForCausalLM.from_pretrained({base})
with steer(model, Steering.load("{steering}"), {coefficient:.8g}):
    output = model.generate(**inputs)
```"""


def _interval(sign: dict[str, Any]) -> str:
    low, high = sign["c_star_low"], sign["c_star_high"]
    return "unknown" if low is None else f"{low:.4g} to {high:.4g}"


def _relative(sign: dict[str, Any]) -> str:
    if sign["relative_dose"] is None:
        return "unknown"
    return f"{sign['relative_dose']:.3g}: norm of the change over that of the residual stream, behind the last edit"


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
        "How many trajectories are unbroken at the end of the window (Kaplan-Meier). The unsteered row",
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


def caveats(alpha: float, found: dict[str, Any], sign: dict[str, Any], imported: bool = False) -> list[str]:
    """Return what a reader must know before trusting the dose. found: calibration.json; sign: its entry of the sign."""
    notes = []
    if not sign["converged"]:
        notes.append(f"The calibration did not converge: {sign['reason']}.")
    if sign["audit"] is None:
        notes.append(
            f"On held-out prompts alpha {SIGNS[sign_of(alpha)]:g} was too strong to measure: logits overflowed, or "
            "every answer was empty."
        )
    elif abs(sign["audit"] / sign["target"] - 1) > found["tolerance"]:
        notes.append(
            f"On held-out prompts alpha {SIGNS[sign_of(alpha)]:g} gives {sign['audit']:.4g}, outside the tolerance "
            f"of {found['tolerance']:.0%}: the dose depends on the prompts."
        )
    if found["positions"] != "all":
        notes.append(
            f"Measured with the steering on {found['positions']} tokens alone; an export that is loaded as usual acts "
            "on all, which is another dose."
        )
    if abs(alpha) != 1:
        notes.append(f"Only alpha 1 and -1 are calibrated; the KL at alpha {alpha:g} follows no rule.")
    return [
        *notes,
        "The dose holds for these weights. Another quantisation or fine-tune of the same model is another model.",
        "Files are in float32; at a lower precision logits differ, and small KLs with them.",
        "Survival says that the text is not broken, nothing of its quality, and nothing of the steered behavior.",
        "It was made elsewhere: on what, and with which other seeds, is not known here."
        if imported
        else "One seed of the answers and of the training; other seeds give other vectors.",
    ]


def dose_text(dose: Dose, settings: WriteCard) -> str:
    """Return the card's heading and the table of what the dose is."""
    cell, found, sign = dose.cell, dose.found, dose.found[dose.sign]
    kinds = ", ".join(sorted({type(edit).__name__ for _, edit in dose.vector.edits}))
    met, meets = ("converged", "meets") if sign["converged"] else ("not converged", "comes closest to")
    target = f"{sign['target']:g}"
    if isinstance(found["target"], dict):
        target += f" (the KL of {found['target']['prompt']})"
    toward, seed = f"toward the {dose.sign} persona", f", seed {cell.seed}"
    if settings.imported:
        toward, seed = "as its file has it" if dose.alpha > 0 else "the opposite of its file", ""
    audit = "not measured" if sign["audit"] is None else f"{sign['audit']:.4g}"
    revision = f" at `{dose.source['revision']}`" if dose.source["revision"] else ""
    return f"""\
# {cell.model} steered by {cell.method}, {cell.behavior}, alpha {dose.alpha:g}

Coefficient {dose.coefficient:.6g}, which is {dose.alpha:g} times {sign["c_star"]:.6g}, the coefficient at which the \
{found["statistic"]} of the KL to the unsteered model
{meets} its target ({dose.sign} sign, {toward}).

| | |
|---|---|
| method | {cell.method}: {settings.origin} ({kinds}){seed} |
| steered modules | {len(dose.vector.edits)}: {_listed(dose.vector)} |
| model | `{dose.source["source"]}`{revision} |
| sha256 of the model's weights | `{dose.source["sha256"]}` |
| steered tokens | {found["positions"]} |
| statistic | {found["statistic"]} of the KL over prompts x tokens, nats |
| target | {target} |
| measured ({met}) | {sign["statistic"]:.4g} at {sign["evaluated"]:.6g}, a step before alpha {dose.calibrated} |
| 95 % interval of that coefficient | {_interval(sign)}, over resampled prompts |
| audit on held-out prompts | {audit} |
| relative dose of alpha {dose.calibrated} | {_relative(sign)} |
"""


def _listed(vector: Steering) -> str:
    """Return the modules that are steered, the first and last of many."""
    paths = [f"`{path}`" for path in dict.fromkeys(path for path, _ in vector.edits)]
    return ", ".join(paths) if len(paths) <= MOST_LISTED else f"{paths[0]} ... {paths[-1]}; all in dose.json"


def benefit_text(judged: dict[str, Any] | None) -> str:
    """Return the section on what this method buys, and at which dose it is recommended. judged: of `recommended`."""
    if judged is None:
        return "Not judged: the method is not among `study.methods`."
    lines = [judged["sentence"], "", f"Verdict: **{judged['verdict']}**."]
    if judged["alpha"] is not None:
        lines[-1] += f" Recommended is alpha {judged['alpha']:g}, coefficient {judged['coefficient']:.6g}."
    safe, deadly = (judged[name] for name in ("safe_dose", "ld50"))
    lines.append("No dose tried is safe." if safe is None else f"Safe up to dose {safe:.3g}.")
    lines.append("Half of the texts break beyond the doses tried." if deadly is None else f"LD50: dose {deadly:.3g}.")
    return "\n".join(lines)


def loading_text(dose: Dose, formats: list[str], steering: str) -> str:
    """Return the section on how to load the exports of this dose, or the steering file itself where there is none."""
    source, revision = dose.source["source"], dose.source["revision"]
    base = f"{json.dumps(source)}, revision={json.dumps(revision)}" if revision else json.dumps(BASE)
    held = "\n\n".join(LOADING[key].format(base=base) for key in formats)
    if not held:
        return NOT_HELD.format(base=base, steering=steering, coefficient=dose.coefficient)
    return (
        "What can hold this steering; each is a target of its own. Paths are seen from this folder; the base is "
        f"whatever holds the weights of the sha256 above, as a Hugging Face directory.\n\n{held}"
    )


def write_card(
    *,
    model: str,
    steering: list[str],
    calibration: str,
    summary: str,
    curve: str,
    recommended: list[str],
    cell: Cell,
    alpha: float,
    settings: WriteCard,
    card: str,
    dose: str,
) -> None:
    """Write card.md and dose.json for one alpha of one method."""
    found, totals = read_json(calibration), read_table(summary, SUMMARIES).filter(deciding())
    vector = Steering.load(steering[0])
    vector, source = vector.member(cell.method or ""), read_json(f"{model}/source.json")
    given = Dose(cell, alpha, dose_of(alpha, calibration), found, vector, source)
    loaded = load_model(model, train=True).model
    rows = survived(totals, read_table(curve, CURVE).filter(deciding()), alpha)
    notes = caveats(alpha, found, found[given.sign], settings.imported)
    judged = of_study(given, recommended)
    head = f"---\nbase_model: {json.dumps(source['source'])}\ntags: [steering, steerdose]\n---\n"
    sections = {
        "What it buys": benefit_text(judged),
        "What survived": survival_text(rows, alpha, totals["alpha"].to_list(), settings.confidence),
        "Caveats": "\n".join(f"* {note}" for note in notes),
        "Loading": loading_text(
            given, possible_formats(loaded, vector), os.path.relpath(steering[0], Path(card).parent)
        ),
    }
    texts = [head, dose_text(given, settings), *(f"## {name}\n\n{text}\n" for name, text in sections.items())]
    with replacing(card) as temporary:
        temporary.write_text("\n".join(texts), encoding="utf-8")
    write_json(record(given, steering[0], find_blocks(loaded), judged), dose)
