"""Ablations as a part of the workflow: what one adapter's edit reruns, and when nothing is taken apart at all."""

import re

import pytest
from conftest import make_workspace

pytestmark = pytest.mark.slow

SCREENS = 4  # groups of ways, a job each


def jobs(workspace):
    """The screens that a run would start: method and group."""
    return sorted(set(re.findall(r"Read the parts of (\w+), (\w+)", workspace.snakemake("-n").stdout)))


@pytest.fixture
def two(symbols):
    """Two families taken apart, finished."""
    options = {"r": 2, "lora_alpha": 16, "use_dora": True}
    symbols.configure(
        study={"methods": ["lora", "dora", "mean_diff"]}, ablations={"methods": ["lora", "dora"]},
        methods={"dora": {"options": options}}, subspaces={"causal": []},
    )  # fmt: skip
    symbols.snakemake("--cores", "4")
    return symbols


def test_one_adapters_edit_reruns_its_parts_and_what_shares_its_bases_and_no_other(two):
    assert two.stale() == {}
    two.configure(methods={"dora": {"training": {"steps": 7}}})
    groups = ("bases", "controls", "modules", "spectra")
    assert jobs(two) == [*(("dora", group) for group in groups), ("lora", "bases")]
    stale = two.stale()
    assert (stale["train_adapter"], stale["merge_diff"], stale["share_bases"]) == (2, 1, 1)


@pytest.mark.parametrize(
    ("changes", "count"),
    [
        ({"draws": 3}, 2 * SCREENS),
        ({"widths": [4]}, 2 * 2),  # of the groups that have bases and base weights
        ({"ways": ["layer", "shared"]}, 2),  # of the modules; bases have another set of ways, spectra and controls none
    ],
)
def test_a_setting_reruns_the_screens_that_it_changes(two, changes, count):
    two.configure(ablations=changes)
    found = jobs(two)
    if "ways" in changes:
        assert {group for _, group in found} == {"modules", "bases"}
    else:
        assert len(found) == count


def test_parts_in_subspaces_hang_on_their_method_and_the_bases_alone(symbols):
    symbols.configure(ablations={"methods": []})
    symbols.snakemake("--cores", "4")
    assert symbols.stale() == {}
    symbols.configure(methods={"lora": {"training": {"steps": 7}}})
    assert jobs(symbols) == [("lora", "hypotheses")]
    symbols.configure(methods={"lora": {"training": {"steps": 4}}}, subspaces={"causal_width": 1})
    assert jobs(symbols) == [("lora", "hypotheses"), ("mean_diff", "hypotheses")]
    symbols.configure(subspaces={"causal_width": 4, "switches": {"balanced": False}})
    stale = symbols.stale()
    assert (stale["build_subspaces"], stale["sweep_subspaces"], stale["screen_parts"]) == (1, 1, 2)
    assert "capture_sites" not in stale
    assert "train_adapter" not in stale


def test_parts_may_be_methods_and_share_the_bases(two):
    parts = {"kind": "parts", "of": "dora", "by": "shared", "names": [2]}
    weights = {"kind": "parts", "of": "dora", "by": "form", "names": ["rows", "rotation"]}
    two.configure(study={"methods": ["lora", "dora", "parts", "weights"]}, methods={"parts": parts, "weights": weights})
    stale = two.stale()
    assert (stale["make_parts"], stale["calibrate_alpha"]) == (2, 2)
    assert "share_bases" not in stale


def test_without_methods_nothing_is_taken_apart(tmp_path):
    workspace = make_workspace(tmp_path / "none", "tiny.yaml")
    workspace.configure(ablations={"methods": []}, subspaces={"causal": []})
    stale = workspace.stale()
    assert not {"share_bases", "screen_parts", "tabulate_ablations", "plot_layer_map"} & set(stale)
    assert "tabulate_effects" in stale
