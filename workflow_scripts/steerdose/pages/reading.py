"""Trajectories to read: one question unsteered, at dose 1 and at the first dying dose, side by side."""

from collections.abc import Sequence
from itertools import groupby, pairwise
from typing import Any

import numpy as np
import polars as pl

from steerdose.columns import CELL, KEYS, deciding, has_dose, sign_of_alpha
from steerdose.declarations.passed import FORKS, LIFETIMES
from steerdose.files import read_json, read_table, replacing
from steerdose.model.loading import load_tokenizer
from steerdose.pages.render import render
from steerdose.study.published import WriteReading
from steerdose.study.texts import Question, load_questions

STEP = 16  # tokens that are split together, since to decode a whole trajectory up to each of its tokens takes seconds
LEVELS = (0.5, 1.0, 2.0)  # nats; the KL from which a token's background gets its next shade


def deadly_dose(lifetimes: pl.DataFrame, sign: str) -> tuple[float, str] | None:
    """Return the weakest alpha of a sign (positive or negative) at which half died, and that in words.

    Where no dose kills half it is the one that kills most, and where nobody died the strongest; None without any dose
    of that sign. So half of the texts beside each other show a death. lifetimes: of one method.
    """
    steered = lifetimes.filter(pl.col("alpha") != 0, sign_of_alpha() == sign)
    doses = steered.group_by("alpha").agg(pl.col("died").mean()).sort(pl.col("alpha").abs())
    if doses.is_empty():
        return None
    half = doses.filter(pl.col("died") >= 0.5)
    if half.height:
        return half["alpha"][0], "the weakest dose at which half died"
    most = doses.sort("died", descending=True, maintain_order=True).row(0, named=True)
    if most["died"]:
        return most["alpha"], "the dose at which most died"
    return doses["alpha"][-1], "the strongest dose; nobody died at any"


def doses_to_read(lifetimes: pl.DataFrame) -> dict[float, str]:
    """Return the alphas whose texts are shown, 0 first and then from the weakest of each sign, each with the reason.

    They are 0 and, of each sign that was rolled out, the calibrated dose and the deadly one. A prompt has no
    coefficient and so no doses: its two texts are shown.
    """
    reasons: dict[float, list[str]] = {0.0: []}
    dosed = lifetimes.select(has_dose().all()).item()
    for alpha, sign in ((1.0, "positive"), (-1.0, "negative")):
        if alpha in lifetimes["alpha"]:
            reasons.setdefault(alpha, []).append("the calibrated dose" if dosed else f"the {sign} text")
        found = deadly_dose(lifetimes, sign) if dosed else None
        if found:
            reasons.setdefault(found[0], []).append(found[1])
    return {alpha: "; ".join(reasons[alpha]) for alpha in sorted(reasons, key=lambda alpha: (alpha < 0, abs(alpha)))}


def prompts_to_read(lifetimes: pl.DataFrame, count: int) -> list[str]:
    """Return `count` prompts evenly spread from the first to die to the last to live, both included, at one dose.

    The dose is the deadly one of the positive sign, or of the negative one where there is no positive dose. Ties
    are broken by id, so equal lifetimes give equal prompts.
    """
    dose = deadly_dose(lifetimes, "positive") or deadly_dose(lifetimes, "negative") or (0.0, "")
    order = lifetimes.filter(alpha=dose[0]).sort(~pl.col("died"), "duration", "prompt_id")["prompt_id"]
    places = np.linspace(0, len(order) - 1, min(count, len(order))).round().astype(int)
    return order.gather(places).to_list()


def excerpt(n_tokens: int, death: int | None, most: int) -> tuple[int, int]:
    """Return the first token shown and the one behind the last, at most `most`: the beginning, or around the death."""
    first = max(0, min((death or 0) - most // 2, n_tokens - most))
    return first, min(first + most, n_tokens)


def split_text(tokenizer: Any, token_ids: Sequence[int], first: int, last: int) -> list[str]:
    """Return the texts of tokens `first` to `last` (excluded); joined they are that part of the decoded whole.

    A character that takes several tokens stands whole with the last of them. Bytes that are no character are �.
    """
    starts = range(first, last, STEP)
    return [text for i in starts for text in _split_few(tokenizer, token_ids, i, min(i + STEP, last))]


def _split_few(tokenizer: Any, token_ids: Sequence[int], first: int, last: int) -> list[str]:
    """Return what `split_text` does, from prefixes that begin a few tokens before `first`, behind which a text stands.

    That text may begin with a part of a character; what follows it decodes as in the whole.
    """

    def text(start: int, end: int) -> str:
        return str(tokenizer.decode(token_ids[start:end]))

    start = max(0, first - STEP)
    while start and not text(start, first).strip("�"):
        start = max(0, start - STEP)
    whole = text(start, last)
    ends = [len(text(start, i).rstrip("�")) for i in range(first, last + 1)]
    if last == len(token_ids):
        ends[-1] = len(whole)
    return [whole[i:j] for i, j in pairwise(np.maximum.accumulate(ends))]


def shaded(texts: Sequence[str], kl: Sequence[float]) -> list[tuple[str, int]]:
    """Return texts and the number of `LEVELS` that their KL reaches; neighbours of one level are joined."""
    levels = np.digitize(kl, LEVELS).tolist()
    return [
        ("".join(text for text, _ in run), level)
        for level, run in groupby(zip(texts, levels, strict=True), key=lambda pair: pair[1])
    ]


def passage(tokenizer: Any, tokens: pl.DataFrame, life: dict[str, Any], most: int) -> dict[str, Any]:
    """Return what the template shows of one trajectory.

    tokens: its rows of the tokens table, by t. life: its row of `with_pmass`. most: the number of tokens shown.
    """
    token_ids, kl = tokens["token_id"].to_list(), tokens["kl"].to_list()
    death = life["duration"] if life["died"] else None
    first, last = excerpt(len(token_ids), death, most)
    texts = split_text(tokenizer, token_ids, first, last) if token_ids else []
    cut = last - first if death is None else death - first
    return {
        "alive": shaded(texts[:cut], kl[first : first + cut]),
        "dead": shaded(texts[cut:], kl[first + cut : last]),
        "death": death,
        **{name: life[name] for name in ("pmass", "damage", "ended", "recovered")},
        "n_tokens": len(token_ids),
        "skipped": (first, len(token_ids) - last),
    }


def with_pmass(forks: pl.DataFrame, lifetimes: pl.DataFrame) -> pl.DataFrame:
    """Return lifetimes with the pmass of the fork at which a trajectory died, or else of its last one.

    forks: of one probe, read by the steered model.
    """
    at_end = pl.col("t") == pl.col("t").max().over(KEYS)
    joined = forks.join(lifetimes, on=KEYS, nulls_equal=True)
    pmass = joined.filter(pl.col("t") <= pl.col("duration")).filter(at_end).select(*KEYS, "pmass")
    return lifetimes.join(pmass, on=KEYS, how="left", validate="1:1", nulls_equal=True, maintain_order="left")


def method_section(
    tokenizer: Any, tokens: pl.LazyFrame, lives: pl.DataFrame, n_prompts: int, n_tokens: int
) -> dict[str, Any]:
    """Return what the template shows of one method. tokens: its table. lives: as `with_pmass` returns them."""
    doses, prompts = doses_to_read(lives), prompts_to_read(lives, n_prompts)
    chosen = tokens.filter(pl.col("alpha").is_in(list(doses)), pl.col("prompt_id").is_in(prompts))
    shown = chosen.select("alpha", "prompt_id", "t", "token_id", "kl").collect()
    of_trajectory = shown.sort("t").partition_by("alpha", "prompt_id", as_dict=True)
    columns = []
    for alpha, reason in doses.items():
        cohort = lives.filter(alpha=alpha)
        rows = {row["prompt_id"]: row for row in cohort.iter_rows(named=True)}
        columns.append(
            {
                "alpha": alpha,
                "coefficient": cohort["coefficient"][0],
                "reason": reason,
                "n": len(cohort),
                "died": cohort["died"].sum(),
                "passages": {
                    prompt: passage(
                        tokenizer,
                        of_trajectory.get((alpha, prompt), shown.clear()),
                        rows[prompt],
                        n_tokens,
                    )
                    for prompt in prompts
                },
            }
        )
    return {"method": lives["method"][0], "prompts": prompts, "columns": columns}


def write_reading(
    *,
    model: str,
    tokens: list[str],
    forks: list[str],
    lifetimes: list[str],
    threshold: str,
    questions: str,
    template: str,
    settings: WriteReading,
    page: str,
) -> None:
    """Write the page of one cell. tokens, forks, lifetimes: one file a method, in the same order."""
    tokenizer, how = load_tokenizer(model), settings.reading
    sections = []
    for token_path, fork_path, life_path in zip(tokens, forks, lifetimes, strict=True):
        steered = read_table(fork_path, FORKS).filter(probe=settings.probe, reading="steered")
        lives = with_pmass(steered, read_table(life_path, LIFETIMES).filter(deciding()))
        token_table = pl.scan_parquet(token_path)
        sections.append(method_section(tokenizer, token_table, lives, how.n_prompts, how.n_tokens))
    asked: dict[str, Question] = {question.id: question for question in load_questions(questions)}
    text = render(
        template,
        cell={name: lives[name][0] for name in CELL},
        endpoint=lives["endpoint"][0],
        sections=sections,
        questions=asked,
        threshold=read_json(threshold)[settings.probe]["threshold"],
        levels=LEVELS,
    )
    with replacing(page) as temporary:
        temporary.write_text(text, encoding="utf-8")
