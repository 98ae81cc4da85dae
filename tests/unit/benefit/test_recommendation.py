"""From effects, deaths and delivered KL to the recommended dose, on planted methods."""

import polars as pl
import pytest
from benefit_examples import CELL, MOOD, mood_scores
from steerdose.benefit.effects import effects, rows_of, sums_by_dose
from steerdose.benefit.recommendation import CellData, effect_lines, recommendations
from steerdose.benefit.specificity import control_effect, specificity

DOSES = (0.5, 1.0, 2.0)
KEYS = {**CELL, "sign": "positive"}


def data(changes, controls=(), prompts=(), safe=1.0):
    """One cell of planted methods: what each dose of each changes."""
    scores = pl.concat([mood_scores(own, method=name) for name, own in changes.items()])
    rows = rows_of(scores, MOOD, "valence")
    dosed = [name for name in changes if name not in prompts]
    lethal = {"ld50": 1.4, "safe_dose": safe, "n_prompts": 24, "bracket_low": 1.0, "bracket_high": 2.0}
    dead = dict(zip((0.0, *DOSES), (0.0, 0.0, 0.1, 0.9), strict=True))
    shares = [
        {**CELL, "method": m, "alpha": a, "coefficient": 40 * a, "dead": d, "dead_high": d + 0.1, "fitted": d}
        for m in dosed
        for a, d in dead.items()
    ]
    lives = [
        {**CELL, "method": m, "alpha": a, "prompt_id": f"p{i}", "sample": 0, "died": i < 24 * dead[a]}
        for m in dosed
        for a in DOSES
        for i in range(24)
    ]
    return CellData(
        sums=sums_by_dose(rows, MOOD),
        benefit=("mood", "valence"),
        effects=effects({"mood": scores}, {"mood": MOOD}, 0.95),
        lives=pl.DataFrame(lives),
        lethal=pl.DataFrame([{**KEYS, "method": m, **lethal} for m in dosed]),
        shares=pl.DataFrame(shares),
        kl={(name, a): a for name in changes for a in changes[name]},
        controls=controls,
        prompts=prompts,
    )


GLAD = {0.5: 0.2, 1.0: 0.4, 2.0: 0.9}


def test_the_strongest_safe_dose_is_recommended_with_what_it_costs():
    (row,) = recommendations(data({"m": GLAD}), [("mood", "valence")], 0.95)
    assert (row["verdict"], row["alpha"], row["coefficient"]) == ("recommended", 1.0, 40.0)
    assert row["effect"] == pytest.approx(0.4, abs=0.03)
    assert row["change_mood.valence"] == row["effect"]
    assert (row["dead"], row["ed50"]) == (0.1, pytest.approx(0.5, abs=0.05))
    assert row["index"] == pytest.approx(1.4 / row["ed50"])


def test_no_effect_and_no_safe_dose_are_told_apart():
    (none,) = recommendations(data({"m": dict.fromkeys(DOSES, 0.0)}), [], 0.95)
    (unsafe,) = recommendations(data({"m": GLAD}, safe=None), [], 0.95)
    assert (none["verdict"], unsafe["verdict"]) == ("no effect shown", "no safe dose")
    assert none["detectable"] == pytest.approx(0.023, rel=0.3)


@pytest.mark.parametrize(("prompt", "verdict"), [(0.6, "prompt is as good"), (0.1, "recommended")])
def test_a_prompt_that_does_as_much_is_the_verdict(prompt, verdict):
    (row,) = recommendations(data({"m": GLAD, "say": {1.0: prompt}}, prompts=("say",)), [], 0.95)
    assert row["verdict"] == verdict
    assert row["prompt_effect"] == pytest.approx(prompt, abs=0.05)
    assert row["over_prompt"] == pytest.approx(row["effect"] - row["prompt_effect"])


def test_a_control_is_no_recommendation_and_says_what_any_push_does():
    glad, control = recommendations(data({"m": GLAD, "r": {0.5: 0.05, 1.0: 0.1, 2.0: 0.2}}, ("r",)), [], 0.95)
    assert control["verdict"] == "a control"
    assert glad["share"] == pytest.approx(0.25, abs=0.1)
    assert glad["share_low"] < glad["share"] < glad["share_high"]


def test_a_control_is_read_at_the_kl_of_the_method_and_not_beyond_its_own():
    sums = data({"m": GLAD, "r": {0.5: 0.1, 1.0: 0.3, 2.0: 0.5}}, ("r",)).sums
    kl = {("r", 0.5): 1.0, ("r", 1.0): 3.0, ("r", 2.0): 9.0}
    assert control_effect(sums["r"], "r", kl, 2.0, 1.0)[0] == pytest.approx(0.2, abs=0.03)
    assert control_effect(sums["r"], "r", kl, 0.5, 1.0)[0] == pytest.approx(0.05, abs=0.02)
    assert control_effect(sums["r"], "r", kl, 9.5, 1.0) is None
    assert control_effect(sums["r"], "r", kl, 1.0, -1.0) is None
    far = {**kl, ("m", 1.0): 20.0, ("m", 0.5): 3.0}
    assert [row["alpha"] for row in specificity({"m": sums["m"], "r": sums["r"]}, ("r",), far, 0.95)] == [0.5]


def test_lines_of_the_picture_begin_at_no_dose_and_no_effect():
    lines = pl.DataFrame(effect_lines(data({"m": GLAD}), 0.95))
    assert lines["dose"].to_list() == [0.0, *DOSES]
    assert lines["effect"][0] == 0
    assert lines["fitted"].is_null().to_list() == [False, False, False, True], "dose 2 breaks most texts"
