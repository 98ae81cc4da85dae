"""What a row of the table of recommended doses says, as a sentence that can be quoted."""

from collections.abc import Sequence
from typing import Any


def sentence(row: dict[str, Any], damages: Sequence[str], confidence: float) -> str:
    """Return the row in words. damages: its columns of changes on tasks of damage."""
    name = f"{row['method']} ({row['sign']})"
    if row["verdict"] == "not measured":
        return f"{name}: what it buys was not measured, since no task of the study shows the behavior."
    if row["verdict"] == "no effect shown":
        size = "" if row["detectable"] is None else f"; one of {row['detectable']:.2g} would mostly have been found"
        return f"{name}: no effect on {row['benefit']} was shown at any dose at which half of the texts survive{size}."
    start = f"{name}: an effect on {row['benefit']} shows from dose {row['minimal_dose']:.3g}"
    if row["verdict"] == "no safe dose":
        safe = "none" if row["safe_dose"] is None else f"up to {row['safe_dose']:.3g}"
        return f"{start}, but no dose at which it shows is safe (safe: {safe})."
    said = [
        f"{name}: at coefficient {row['coefficient']:.4g} (dose {abs(row['alpha']):.3g}) {row['benefit']} moves by "
        f"{row['effect']:.3g} toward the {row['sign']} side ({confidence:.0%} interval {row['effect_low']:.3g} to "
        f"{row['effect_high']:.3g})",
        f"{row['dead']:.0%} of texts break by the window (at most {row['dead_high']:.0%})",
    ]
    said += [changed for each in damages if (changed := _change(row, each))]
    said.append(_index(row))
    if row.get("share") is not None:
        between = f"{row['share_low']:.0%} to {row['share_high']:.0%}"
        said.append(f"a random push of the same KL has {row['share']:.0%} ({between}) of the effect")
    text = "; ".join(said) + "."
    if row["verdict"] == "a control":
        text += " It pushes at random: what it moves is what any push moves."
    if row["verdict"] == "prompt is as good":
        text += (
            f" The prompt {row['prompt']} moves it by {row['prompt_effect']:.3g}, and the dose is not shown to do "
            "more: the prompt is the simpler means."
        )
    return text


def _change(row: dict[str, Any], name: str) -> str:
    """Return a change that is shown, or that none is."""
    task, value = name.removeprefix("change_"), row[name]
    if value is None:
        return ""
    low, high = row[f"{name}_low"], row[f"{name}_high"]
    shown = low > 0 or high < 0
    interval = f"({low:.2g} to {high:.2g})"
    return f"{task} changes by {value:+.2g} {interval}" if shown else f"no change of {task} is shown {interval}"


def _index(row: dict[str, Any]) -> str:
    low, high = row["index_low"], row["index_high"]
    if row["index"] is None:
        return "the therapeutic index is not bounded" if low is None else f"the therapeutic index is above {low:.2g}"
    span = f"{'open' if low is None else f'{low:.2g}'} to {'open' if high is None else f'{high:.2g}'}"
    return f"the therapeutic index is {row['index']:.2g} ({span})"
