"""The table of methods: doses, norms, seconds, effects, and the spread over seeds."""

import polars as pl
import pytest
from steerdose.files import write_json
from steerdose.study.published import MethodFiles
from steerdose.tables.methods import effects, methods_table, over_seeds

CELL = {"model": "m", "behavior": "b", "seed": 0, "method": "lora"}


def forks(seed=0, shift=0.2):
    rows = [
        {**CELL, "seed": seed, "alpha": alpha, "coefficient": alpha, "prompt_id": prompt, "sample": 0, "probe": "json",
         "reading": "steered", "t": t, "pmass": 0.9,
         "p_first": 0.5 + (alpha * shift if prompt == "q-01" else -alpha * shift / 2), "argmax": "x"}
        for alpha in (0.0, 1.0)
        for prompt in ("q-01", "q-02")
        for t in (0, 4)
    ]  # fmt: skip
    return pl.DataFrame(rows)


def side(c_star, converged=True):
    bounds = {"c_star_low": c_star / 2, "c_star_high": 2 * c_star, "relative_dose": 0.1}
    return {**bounds, "c_star": c_star, "statistic": 0.98, "target": 1.0, "converged": converged, "evaluations": 3,
            "reason": "within tolerance", "bracket": None, "audit": 1.1}  # fmt: skip


def test_effect_is_the_gain_in_probability_of_the_true_answer():
    found = effects(forks(), {"q-01": True, "q-02": False})
    assert found.filter(alpha=1.0)["effect"].item() == pytest.approx((0.2 + 0.1) / 2)
    assert found.filter(alpha=0.0)["effect"].item() == 0
    against = effects(forks(), {"q-01": False, "q-02": True})
    assert against.filter(alpha=1.0)["effect"].item() == pytest.approx(-(0.2 + 0.1) / 2)


def test_spread_over_seeds_and_the_share_of_the_more_frequent_sign():
    frame = pl.DataFrame(
        {"model": "m", "behavior": "b", "method": ["a"] * 3 + ["b"], "sign": "positive", "seed": [0, 1, 2, 0],
         "c_star": 2.0, "audit": 1.0, "s_end": 0.5, "effect": [1.0, 2.0, -3.0, None]}
    )  # fmt: skip
    several, one = over_seeds(frame).to_dicts()
    assert (several["seeds"], several["effect_mean"], several["c_star_std"]) == (3, 0, 0)
    assert several["effect_std"] == pytest.approx(7**0.5)
    assert several["effect_sign_agreement"] == pytest.approx(2 / 3)
    assert (one["seeds"], one["effect_mean"], one["c_star_std"], one["effect_sign_agreement"]) == (1, None, None, None)


def test_effect_compares_the_forks_that_both_texts_have():
    """Steered, the text to the first question ends before fork 4; the unsteered reading there is far off."""
    read = forks().with_columns(p_first=pl.when(alpha=0.0, t=4, prompt_id="q-01").then(0.9).otherwise("p_first"))
    ended = read.filter(~((pl.col("alpha") == 1) & (pl.col("t") == 4) & (pl.col("prompt_id") == "q-01")))
    found = effects(ended, {"q-01": True, "q-02": False})
    assert found.filter(alpha=1.0)["effect"].item() == pytest.approx((0.2 + 0.1) / 2)


def test_effect_compares_the_forks_that_both_texts_have_where_the_unsteered_one_ends_early():
    read = forks().with_columns(p_first=pl.when(alpha=1.0, t=4, prompt_id="q-01").then(0.1).otherwise("p_first"))
    ended = read.filter(~((pl.col("alpha") == 0) & (pl.col("t") == 4) & (pl.col("prompt_id") == "q-01")))
    found = effects(ended, {"q-01": True, "q-02": False})
    assert found.filter(alpha=1.0)["effect"].item() == pytest.approx((0.2 + 0.1) / 2)


@pytest.fixture
def study(tmp_path):
    """Two seeds of one method: its files, forks and summaries."""
    methods, tables, summaries = [], [], []
    (tmp_path / "job.tsv").write_text("s\th:m:s\n2.5\t0:00:02\n")
    for seed in (0, 1):
        paths = {}
        for name, content in (
            ("calibration", {"statistic": "p95", "positive": side(2.0 + seed), "negative": side(3.0, seed == 0)}),
            ("geometry", {"modules": [{"norm": 3.0}, {"norm": 4.0}]}),
        ):
            paths[name] = str(tmp_path / f"{name}{seed}.json")
            write_json(content, paths[name])
        jobs = (str(tmp_path / "job.tsv"),) * 2
        own = CELL | {"seed": seed}
        methods.append(
            MethodFiles(**own, **paths, group="adapter", origin="trained here", steering=None, benchmarks=jobs)
        )
        tables.append(forks(seed))
        summaries += [{**own, "alpha": alpha, "s_end": 1 - alpha / 2} for alpha in (0.0, 1.0)]
    return methods, pl.concat(tables), pl.DataFrame(summaries), {"q-01": True, "q-02": False}


def test_one_row_a_method_and_sign(study):
    table = methods_table(*study)
    assert table.select("seed", "sign").rows() == [(0, "positive"), (0, "negative"), (1, "positive"), (1, "negative")]
    assert table["c_star"].to_list() == [2.0, 3.0, 3.0, 3.0]
    assert table["seconds"].to_list() == [5.0] * 4
    assert table["norm"].to_list() == [5.0] * 4
    assert table["s_end"].to_list() == [0.5, None, 0.5, None]
    assert table["effect"].is_null().to_list() == [False, True, False, True]
    assert over_seeds(table)["c_star_mean"].to_list() == [2.5, 3.0]


def test_a_dose_that_missed_its_target_says_so(study):
    assert methods_table(*study)["converged"].to_list() == [True, True, True, False]


def test_a_method_without_a_steering_or_a_norm_has_an_empty_norm(study, tmp_path):
    (first, second), *rest = study
    write_json({"modules": [{"norm": 3.0}, {"norm": None}]}, tmp_path / "geometry1.json")
    table = methods_table([first.model_copy(update={"geometry": None}), second], *rest)
    assert table["norm"].to_list() == [None] * 4
