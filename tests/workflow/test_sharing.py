"""Parts of an adapter, by real jobs: how methods share jobs, and jobs prompts, changes no number."""

import re
import shutil

import polars as pl
import pytest
from steerdose.files import read_json
from steerdose.steering.steering import Steering

pytestmark = pytest.mark.slow

CELL = "results/tiny/honesty/seed0"
TARGETS = ["results/tables/survival.csv", "results/tables/effects.csv", f"{CELL}/steering/layers.safetensors"]
MEMBERS = ["modules.q_proj", "modules.down_proj"]  # not in the order of the alphabet
AUDITS = [f"{CELL}/calibration/{member}.json" for member in MEMBERS]


@pytest.fixture(scope="module")
def shared(tmp_path_factory, warm_python):
    """A study of parts whose members share every job."""
    import tiny
    from conftest import make_workspace

    workspace = make_workspace(tmp_path_factory.mktemp("shared"), "tiny.yaml", warm_python)
    tiny.save(workspace.root / "tiny_model")
    parts = {"kind": "parts", "of": "lora"}
    workspace.configure(
        study={"methods": ["modules"]},
        methods={
            "lora": {"layer_range": [0, 1]},
            "modules": {**parts, "by": "module", "names": ["q_proj", "down_proj"]},
            "layers": {**parts, "by": "layer", "names": ["0-2"]},
        },
        calibration={"max_evaluations": 3, "batch_size": 3},
        rollout={"batch_size": 8},  # two questions, at three doses or four
        jobs={"threads": 1, "gpus": 0, "methods": 20},
    )
    workspace.snakemake(*TARGETS, *AUDITS)
    return workspace


def tables(workspace):
    """Return the tables of all methods and of each, by path."""
    found = [*workspace.root.glob(f"{CELL}/*/*.parquet"), *workspace.root.glob("results/tables/*.csv")]
    return {
        str(path.relative_to(workspace.root)): pl.read_csv(path) if path.suffix == ".csv" else pl.read_parquet(path)
        for path in sorted(found)
    }


def assert_same(first, second):
    assert {name: table.shape for name, table in first.items()} == {name: t.shape for name, t in second.items()}
    assert [name for name, table in first.items() if not table.equals(second[name])] == []


def run_copy(shared, root, *targets, without=(), **changes):
    workspace = shared.copy(root)
    for folder in without:
        shutil.rmtree(workspace.root / CELL / folder)
    workspace.configure(**changes)
    workspace.snakemake(*targets)
    return workspace


def test_members_are_different_methods_made_by_jobs_that_load_the_model_once(shared):
    for entry, members in (("layers", ["layers.0", "layers.1", "layers.2"]), ("modules", MEMBERS)):
        whole = Steering.load(shared.root / CELL / f"steering/{entry}.safetensors")
        paths = [[path for path, _ in whole.member(member).edits] for member in members]
        assert all(paths)
        assert len({path for own in paths for path in own}) == sum(map(len, paths)) == len(whole.edits)
    doses = [read_json(shared.root / CELL / f"calibration/{member}.json")["positive"]["c_star"] for member in MEMBERS]
    assert doses[0] != doses[1]
    for member, dose in zip(MEMBERS, doses, strict=True):
        rolled_out = pl.read_parquet(shared.root / CELL / f"rollouts/{member}.trajectories.parquet")
        assert rolled_out.filter(alpha=3)["coefficient"].unique().to_list() == [3 * dose]
    for rule in ("calibrate_alpha", "audit_dose", "rollout_trajectories", "score_task"):
        (log,) = (shared.root / "results/logs" / rule).glob("*.knowledge.*" if rule == "score_task" else "*.log")
        assert len(re.findall(r"Loading weights:.*100%", log.read_text())) == 1


def test_a_job_a_method_and_batch_changes_no_number(shared, tmp_path):
    apart = run_copy(shared, tmp_path / "apart", *TARGETS, jobs={"methods": 1, "batches": 1})
    assert len(list((apart.root / "results/logs/rollout_trajectories").glob("*.modules.job[01].[01].log"))) == 4
    assert_same(tables(shared), tables(apart))


def test_one_more_dose_and_question_cost_what_they_add_and_end_in_the_tables_of_a_fresh_run(shared, tmp_path):
    more = {"rollout": {"alphas": [0, 1, 2, 3], "n_questions": 5}}
    longer = run_copy(shared, tmp_path / "longer", *TARGETS, **more)
    log = longer.read("results/logs/rollout_trajectories/tiny.honesty.seed0.modules.job0.0.log")
    fresh = run_copy(shared, tmp_path / "anew", *TARGETS, without=("rollouts", "scores", "survival"), **more)
    assert_same(tables(longer), tables(fresh))
    kept = re.findall(r"(\S+): (\d+) trajectories kept, (\d+) to roll out", log)
    assert {method for method, _, _ in kept} == set(MEMBERS)
    assert (sum(int(n) for _, n, _ in kept), sum(int(n) for _, _, n in kept)) == (24, 16)
