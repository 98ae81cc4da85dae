"""Thresholds of death, and the gate: a probe that the unsteered model fails stops the study."""

import pytest
from steerdose.errors import SteerdoseError
from steerdose.files import read_json, write_json
from steerdose.study.config import Threshold
from steerdose.study.settings import SetThreshold
from steerdose.survival.thresholds import check_probes, check_texts, set_threshold, set_thresholds

ABSOLUTE = Threshold(kind="absolute", value=0.7)
AUDIT = {
    "json": {"median_pmass": 0.8, "min_pmass": 0.1, "splits": True},
    "letters": {"median_pmass": 0.6, "splits": False},
}


def test_every_rolled_out_probe_has_its_own_threshold():
    found = set_thresholds(AUDIT, ("letters", "json"), Threshold(kind="relative", value=0.5))
    assert found == {
        "letters": {"threshold": 0.3, "median_pmass": 0.6, "splits": False},
        "json": {"threshold": 0.4, "median_pmass": 0.8, "splits": True},
    }
    assert set_thresholds(AUDIT, ("json",), ABSOLUTE) == {
        "json": {"threshold": 0.7, "median_pmass": 0.8, "splits": True}
    }


def test_an_absolute_threshold_that_the_unsteered_model_misses_is_refused():
    with pytest.raises(SteerdoseError, match=r"survival\.threshold is 0\.7, .* on the probe letters is 0\.6000"):
        set_thresholds(AUDIT, ("json", "letters"), ABSOLUTE)


HEALTHY = {"median_rep_4": 0.14, "nll_plain": 1.99, "nll_chat": 2.1}


def test_a_model_that_is_prompted_wrongly_is_refused():
    check_texts(HEALTHY, 0.5, 1.5)
    check_texts({**HEALTHY, "median_rep_4": None}, 0.5, 1.5)
    with pytest.raises(SteerdoseError, match=r"repeat 60% .*maximum_base_rep_4 is 0\.5.*beginning-of-sequence"):
        check_texts({**HEALTHY, "median_rep_4": 0.6}, 0.5, 1.5)
    with pytest.raises(SteerdoseError, match=r"3\.55 nats a token, not 1\.99.*maximum_nll_ratio is 1\.5"):
        check_texts({**HEALTHY, "nll_chat": 3.55}, 0.5, 1.5)


LIKELY = {
    "json": {"median_pmass": 0.4, "likely": [["no", 7], [" yes", 2]]},
    "letters": {"median_pmass": 0.6, "likely": [], "splits": True},
}


def test_a_probe_that_the_unsteered_model_fails_is_refused_with_what_it_says_instead(tmp_path):
    write_json(LIKELY, tmp_path / "audit.json")
    settings = SetThreshold(
        probes=("letters", "json"),
        threshold=Threshold(kind="relative", value=0.5),
        minimum_base_pmass=0.5,
        maximum_base_rep_4=0.5,
        maximum_nll_ratio=1.5,
    )
    message = (
        r"fails the probe json: its median pmass on the probe's answers is 0\.4000, survival\.minimum_base_pmass is "
        r"0\.5\. The most likely next tokens are 'no' 7x, ' yes' 2x\. Audited probes that pass: letters \(0\.6000\)\. "
        r".*rollout\.probes"
    )
    write_json(HEALTHY, tmp_path / "texts.json")
    paths = {name: str(tmp_path / f"{name}.json") for name in ("audit", "texts")} | {
        "threshold": str(tmp_path / "threshold.json")
    }
    with pytest.raises(SteerdoseError, match=message):
        set_threshold(**paths, settings=settings)
    assert not (tmp_path / "threshold.json").exists()
    set_threshold(**paths, settings=settings.model_copy(update={"probes": ("letters",)}))
    assert read_json(tmp_path / "threshold.json") == {
        "letters": {"threshold": 0.3, "median_pmass": 0.6, "splits": True}
    }


def test_where_no_probe_passes_the_message_says_so():
    with pytest.raises(SteerdoseError, match="fails the probe json: .*that pass: none"):
        check_probes(LIKELY, ("json",), 0.9)
