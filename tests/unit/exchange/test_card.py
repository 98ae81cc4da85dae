"""What a card says when something was not measured, or not met."""

import hashlib

import polars as pl
import tiny
import torch
from steerdose.columns import Cell
from steerdose.declarations import passed
from steerdose.declarations.benefit import RECOMMENDED
from steerdose.exchange.card import caveats, survival_text, survived, write_card
from steerdose.files import read_json, write_json, write_table
from steerdose.steering.edits import Ablate
from steerdose.steering.steering import Steering
from steerdose.study.published import WriteCard

SUMMARY = pl.DataFrame(
    {
        **{"alpha": [0.0, 1.0, 2.0], "n": [8, 8, 8], "died": [0, 2, 8], "censored": [8, 6, 0]},
        **{"rmst": [64.0, 48.0, 0.0], "rmst_low": [40.4, 30.0, 0.0], "rmst_high": [64.0, 60.26, 23.6]},
    }
)
CURVE = pl.DataFrame(
    {
        "alpha": [0.0, 0.0, 1.0, 1.0, 2.0, 2.0],
        "t": [0, 64] * 3,
        "survival": [1.0, 1.0, 1.0, 0.75, 0.5, 0.0],
        "ci_low": [0.6, 0.61, 0.6, 0.35, 0.2, 0.0],
        "ci_high": [1.0, 1.0, 1.0, 0.97, 0.8, 0.37],
    }
)
FOUND = {"positions": "all", "statistic": "p95", "target": 1.0, "tolerance": 0.05}
INTERVAL = {"c_star_low": 1.9, "c_star_high": 2.125}
MET = {
    **INTERVAL,
    "c_star": 2.0,
    "evaluated": 1.98,
    "relative_dose": 0.21,
    "relative_dose_by_block": [0.0, 0.21, 0.2],
    "target": 1.0,
    "statistic": 1.01,
    "audit": 0.97,
    "converged": True,
    "reason": "within tolerance",
}


def test_survival_is_read_at_the_window_beside_the_unsteered_model():
    text = survival_text(survived(SUMMARY, CURVE, 1.0), 1.0, [0, 1, 2], 0.9)
    assert (
        "| unsteered | 8 | 0 | 8 | 1.000 | 0.610 to 1.000 | 64.0 | 40.4 to 64.0 |\n"
        "| alpha 1 | 8 | 2 | 6 | 0.750 | 0.350 to 0.970 | 48.0 | 30.0 to 60.3 |" in text
    )
    assert "90% interval" in text
    assert "end: 64 generated tokens" in text
    assert "alpha 2" not in text


def test_an_alpha_that_was_not_rolled_out_has_no_numbers():
    text = survival_text(survived(SUMMARY, CURVE, -1.0), -1.0, [0, 1, 2], 0.95)
    assert "Nothing was measured at alpha -1**; rolled out were 0, 1, 2. Add -1 to `rollout.alphas`" in text
    assert "|" not in text


def test_caveats_follow_from_the_calibration():
    plain = caveats(1.0, FOUND, MET)
    assert len(plain) == 4
    assert "only alpha 1 and -1 are calibrated" in caveats(-1.5, FOUND, MET)[0].lower()
    missed = caveats(-1.0, FOUND, {**MET, "audit": 1.2, "converged": False, "reason": "unreachable: always below"})
    assert "did not converge: unreachable: always below" in missed[0]
    assert "On held-out prompts alpha -1 gives 1.2, outside the tolerance of 5%" in missed[1]
    assert missed[2:] == plain


def test_an_audit_that_could_not_be_measured_is_a_caveat():
    assert "alpha 1 was too strong to measure" in caveats(1.0, FOUND, {**MET, "audit": None})[0]


JUDGED = {
    **{"model": "tiny", "behavior": "honesty", "seed": 0, "method": "ablate", "sign": "positive"},
    **{
        "verdict": "recommended",
        "alpha": 1.5,
        "coefficient": 3.0,
        "benefit": "mood.valence",
        "sentence": "It is glad.",
    },
    **{"effect": 0.4, "safe_dose": 1.5, "ld50": 2.2, "index": 4.0, "change_text.nll": 0.3},
}


def write(tmp_path, imported=False, recommended=()):
    """Write the card of alpha 2 of an ablation at a dose that missed its target; return it, and dose.json."""
    model = tiny.save(tmp_path / "models/tiny")
    source = {"source": "owner/tiny", "revision": "abc", "trust_remote_code": False, "sha256": "0123"}
    write_json(source, model / "source.json")
    vector = torch.zeros(32)
    vector[3] = 1
    steering = tmp_path / "ablate.safetensors"
    Steering("ablate", (("model.layers.1", Ablate(vector)),), {}).save(steering)
    missed = {**MET, "converged": False, "reason": "unreachable", "statistic": 0.4}
    found = {**FOUND, "target": {"prompt": "engineered_prompt"}, "negative_is_opposite": False}
    write_json({**found, "positive": missed, "negative": MET}, tmp_path / "c.json")
    for name, frame, table in (("summary", SUMMARY, passed.SUMMARIES), ("curve", CURVE, passed.CURVE)):
        there = frame.with_columns(endpoint=pl.lit("text"))
        absent = [pl.lit(None).alias(column.name) for column in table.columns if column.name not in there.columns]
        write_table(there.with_columns(absent), tmp_path / f"{name}.parquet", table)
    write_card(
        model=str(model), steering=[str(steering)], calibration=str(tmp_path / "c.json"),
        summary=str(tmp_path / "summary.parquet"), curve=str(tmp_path / "curve.parquet"),
        recommended=[str(path) for path in recommended], cell=Cell("tiny", "honesty", 0, "ablate"), alpha=2.0,
        settings=WriteCard(confidence=0.95, origin="made of thin air", imported=imported),
        card=str(tmp_path / "export/x/card.md"), dose=str(tmp_path / "export/x/dose.json"),
    )  # fmt: skip
    return (tmp_path / "export/x/card.md").read_text(), read_json(tmp_path / "export/x/dose.json")


def test_the_card_of_edits_that_no_format_holds(tmp_path):
    card, dose = write(tmp_path)
    assert "Coefficient 4, which is 2 times 2" in card
    assert "comes closest to its target (positive sign" in card
    assert "| target | 1 (the KL of engineered_prompt) |\n| measured (not converged) | 0.4 at 1.98, a step" in card
    assert "| alpha 2 | 8 | 8 | 0 | 0.000 | 0.000 to 0.370 | 0.0 | 0.0 to 23.6 |" in card
    assert "No exchange format holds these edits" in card
    assert "| method | ablate: made of thin air (Ablate), seed 0 |\n| steered modules | 1: `model.layers.1` |" in card
    assert "| model | `owner/tiny` at `abc` |\n| sha256 of the model's weights | `0123` |" in card
    assert 'from_pretrained("owner/tiny", revision="abc")' in card
    assert "models/tiny" not in card, "a path that only this study has"
    assert 'Steering.load("../../ablate.safetensors"), 4):' in card
    assert "Not judged: the method is not among `study.methods`" in card
    assert dose["recommendation"] is None
    assert (dose["alpha"], dose["coefficient"], dose["positions"], dose["layers"]) == (2.0, 4.0, "all", [1])
    assert dose["source"] == {"source": "owner/tiny", "revision": "abc", "sha256": "0123"}
    (edit,) = dose["edits"]
    assert edit["formula"].startswith("y - c (y.v) v")
    assert dose["steering"]["sha256"] == hashlib.sha256((tmp_path / "ablate.safetensors").read_bytes()).hexdigest()
    assert dose["calibration"]["c_star_high"] == 2.125
    assert dose["relative_norm_by_layer"] == [0.0, 0.21, 0.2]


def test_a_card_carries_the_recommendation_and_an_imported_one_speaks_of_no_training(tmp_path):
    absent = {c.name: None for c in RECOMMENDED.columns if not c.is_pattern and c.name not in JUDGED}
    rows = [absent | JUDGED, absent | JUDGED | {"sign": "negative", "sentence": "It is gloomy."}]
    write_table(pl.DataFrame(rows, infer_schema_length=None), tmp_path / "dose.parquet", RECOMMENDED)
    card, dose = write(tmp_path, imported=True, recommended=[tmp_path / "dose.parquet"])
    assert "It is glad.\n\nVerdict: **recommended**. Recommended is alpha 1.5, coefficient 3." in card
    assert "Safe up to dose 1.5.\nLD50: dose 2.2." in card
    assert "gloomy" not in card
    assert "(positive sign, as its file has it)" in card
    assert "seed" not in card.replace("with which other seeds", "")
    assert "persona" not in card
    judged = dose["recommendation"]
    assert (judged["index"], judged["safe_coefficient"], judged["change_text.nll"]) == (4.0, 3.0, 0.3)
