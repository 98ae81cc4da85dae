"""The README's examples: config entries are accepted, the estimator does what its test says."""

import copy
import re
from pathlib import Path

import pytest
import torch
import yaml
from snakemake.utils import update_config
from steerdose.make import estimators as directions
from steerdose.steering.edits import Add, Edit
from steerdose.study.checks import check_config

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("text", blocks("yaml"))
def test_config_entries_are_accepted(text, monkeypatch):
    monkeypatch.chdir(ROOT)
    config = copy.deepcopy(yaml.safe_load((ROOT / "config.yaml").read_text()))
    update_config(config, yaml.safe_load(text))
    check_config(config)


def test_the_new_estimator_passes_its_test(monkeypatch):
    monkeypatch.setattr(directions, "ESTIMATORS", {})
    names = {**vars(directions), "torch": torch, "Add": Add, "Edit": Edit}
    for text in blocks("python"):
        exec(text, names)
    torch.manual_seed(0)
    names["test_median_diff_finds_a_planted_direction"]()
