"""Methods that are parts of others: many members, few jobs."""

import re
from math import ceil

import pytest
from conftest import make_workspace

pytestmark = pytest.mark.slow


@pytest.fixture
def planned(tmp_path):
    return make_workspace(tmp_path / "planned", "tiny.yaml")


def test_two_families_of_sixty_parts_are_planned_in_few_jobs(planned):
    families = ("lora_layers", "dora_layers")
    methods = {
        name: {"kind": "parts", "of": name.partition("_")[0], "by": "layer", "names": ["0-59"]} for name in families
    }
    none = {"methods": []}
    planned.configure(
        study={"methods": list(families)},
        methods=methods,
        jobs={"methods": 20},
        ablations=none,
        subspaces={**none, "causal": []},
    )
    stale = planned.stale()
    shared = 2 * ceil(60 / 20)
    jobs = ("calibrate_alpha", "audit_dose", "rollout_trajectories")
    assert {rule: stale[rule] for rule in jobs} == dict.fromkeys(jobs, shared)
    assert stale["score_task"] == 2 * shared == 2 * stale["write_texts"]
    assert (stale["make_parts"], stale["train_adapter"], stale["generate_pairs"]) == (2, 4, 1)
    assert stale["kaplan_meier"] == 2 * 60


def test_a_job_a_method_plans_the_same_members(planned):
    methods = {"layers": {"kind": "parts", "of": "lora", "by": "layer", "names": ["0-2"]}}
    planned.configure(study={"methods": ["layers"]}, methods=methods, jobs={"methods": 1})
    plan = planned.snakemake("-n").stdout
    assert sorted(set(re.findall(r"Calibrate (layers\.\S+)", plan))) == [f"layers.job{i}" for i in range(3)]
