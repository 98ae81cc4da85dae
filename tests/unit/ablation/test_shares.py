"""Shares of an effect: planted ones are found, their intervals hold, and an effect of nothing has none."""

import ablation_examples as examples
import numpy as np
import polars as pl
import pytest
from steerdose.ablation.places import WHOLE_PLACE, ZERO_PLACE
from steerdose.ablation.shares import drawn, pooled, shares
from steerdose.errors import SteerdoseError

PLANTED = examples.sides("third", early=(0.6, 0.4), middle=(0.1, 0.9), late=(0.3, 0.7))
EARLY = ("third", "early", "keep", "coefficient")


def test_planted_shares_are_found_and_keep_and_drop_add_up():
    rows = examples.table(PLANTED)
    for place, planted in PLANTED.items():
        row = rows[place]
        assert row["retained"] == pytest.approx(planted, abs=0.08)
        assert row["sure_low"] <= row["retained_low"] < row["retained"] < row["retained_high"] <= row["sure_high"]
    dropped = rows["third", "early", "drop", "coefficient"]
    assert dropped["removed"] == pytest.approx(1 - dropped["retained"])
    assert (dropped["removed_low"], dropped["removed_high"]) == pytest.approx(
        (1 - dropped["retained_high"], 1 - dropped["retained_low"])
    )
    assert "removed" not in rows[EARLY]
    assert (rows[WHOLE_PLACE]["retained"], rows[ZERO_PLACE]["retained"]) == (1, 0)
    assert rows[EARLY]["nll"] == pytest.approx(0.6, abs=0.2)


def test_the_interval_of_a_ratio_is_fiellers():
    """Against Fieller's closed form for the ratio of two paired means (1954), which shares no code with a bootstrap."""
    frame = examples.scores(PLANTED, n=200)
    wide = {
        place: frame.filter(**dict(zip(("way", "part", "side", "at"), place, strict=True)))["value"].to_numpy()
        for place in (ZERO_PLACE, WHOLE_PLACE, EARLY)
    }
    x, y = wide[EARLY] - wide[ZERO_PLACE], wide[WHOLE_PLACE] - wide[ZERO_PLACE]
    n, z = len(x), 1.96
    (sxx, sxy), (_, syy) = np.cov(x, y) / n
    a, b, c = y.mean() ** 2 - z**2 * syy, x.mean() * y.mean() - z**2 * sxy, x.mean() ** 2 - z**2 * sxx
    fieller = [(b + sign * np.sqrt(b * b - a * c)) / a for sign in (-1, 1)]
    row = examples.table(PLANTED, n=200)[EARLY]
    assert [row["retained_low"], row["retained_high"]] == pytest.approx(fieller, abs=0.2 * (fieller[1] - fieller[0]))


def test_bounds_for_all_parts_hold_for_all_parts():
    """Of 15 equal layers in 60 studies the truth is outside of one layer's bounds in about one study of 20."""
    planted = examples.sides("layer", **{f"_{i}": (1 / 15, 14 / 15) for i in range(15)})
    missed, missed_alone = 0, 0
    for start in range(60):
        rows = [row for place, row in examples.table(planted, noise=0.4, start=start).items() if place[0] == "layer"]
        truth = [1 / 15 if row["side"] == "keep" else 14 / 15 for row in rows]
        kept = [(row, value) for row, value in zip(rows, truth, strict=True) if row["side"] == "keep"]
        missed += any(not row["sure_low"] <= value <= row["sure_high"] for row, value in kept)
        missed_alone += any(not row["retained_low"] <= value <= row["retained_high"] for row, value in kept)
    assert missed <= 9, "of 60; 0.95 each would be 3"
    assert missed_alone >= 20, "bounds for one part do not hold for fifteen"


def test_a_whole_without_an_effect_has_no_shares():
    still = dict.fromkeys((*PLANTED, WHOLE_PLACE), 0.0)
    row = examples.table(still)[EARLY]
    assert (row["effect"], row["retained"]) == (0, None)
    noise = {**still, WHOLE_PLACE: 1e-9}
    shown = sum(examples.table(noise, start=start)[EARLY]["retained"] is not None for start in range(60))
    assert shown <= 9, "of 60; 5 % would be 3"


def test_a_part_whose_logits_overflowed_on_the_texts_of_the_damage_has_none():
    effect = drawn(examples.scores(PLANTED), examples.TASK, "margin")
    scores = examples.scores(PLANTED, "text", "nll")
    broken = (pl.col("part") == "early") & (pl.col("side") == "keep")
    scores = scores.with_columns(value=pl.when(broken).then(None).otherwise(pl.col("value")))
    found = dict(shares(effect, drawn(scores, examples.TEXTS, "nll"), 0.95))
    assert "nll" not in found[EARLY]
    assert found["third", "late", "keep", "coefficient"]["nll"] is not None


def test_other_items_or_another_whole_are_refused():
    frame = examples.scores(PLANTED)
    with pytest.raises(SteerdoseError, match="expected the same items at every dose"):
        drawn(frame.filter((pl.col("part") != "early") | (pl.col("item") != "i3")), examples.TASK, "margin")
    other = frame.filter(way="whole").with_columns(pl.col("value") + 1)
    with pytest.raises(SteerdoseError, match="read on other texts, or another whole; rerun screen_parts"):
        drawn(pl.concat([frame, other]), examples.TASK, "margin")
    drawn(pl.concat([frame, frame.filter(way="whole")]), examples.TASK, "margin")


def test_seeds_are_pooled_and_their_spread_counts():
    seeds = [drawn(examples.scores({EARLY: share}, start=4), examples.TASK, "margin") for share in (0.2, 0.5, 0.8)]
    both = dict(shares(pooled(seeds), pooled(seeds), 0.95))
    alone = dict(shares(seeds[1], seeds[1], 0.95))
    assert both[EARLY]["retained"] == pytest.approx(0.5, abs=0.05)
    width = [found[EARLY]["retained_high"] - found[EARLY]["retained_low"] for found in (both, alone)]
    assert width[0] > 2 * width[1]
    with pytest.raises(SteerdoseError, match="the seeds were read on other items"):
        pooled([seeds[0], drawn(examples.scores({EARLY: 0.2}, n=7), examples.TASK, "margin")])
