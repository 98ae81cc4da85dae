"""`rollout.alphas: auto`: doses that are placed in turn, by a study that runs."""

import polars as pl
import pytest
import tiny
import yaml
from conftest import make_workspace

CELL = "results/tiny/honesty/seed0"
TARGETS = ("results/tables/dose_response.csv", f"{CELL}/scores/mean_diff.knowledge.parquet")
METHODS = ["mean_diff", "simple_prompt"]


@pytest.fixture(scope="module")
def designed(tmp_path_factory, warm_python):
    """A tiny study with two doses a method, and then, in the same folder, with three."""
    found = make_workspace(tmp_path_factory.mktemp("design"), "tiny.yaml", warm_python)
    tiny.save(found.root / "tiny_model")
    overlay = yaml.safe_load((found.root / "tiny.yaml").read_text())
    overlay["study"]["methods"] = METHODS
    overlay["rollout"] |= {"alphas": "auto", "n_questions": 6, "design": {"most": 2}}
    (found.root / "tiny.yaml").write_text(yaml.safe_dump(overlay))
    found.snakemake("--", *TARGETS)
    return found


def rolled(study, table="trajectories"):
    return pl.read_parquet(study.root / f"{CELL}/rollouts/designed/mean_diff.{table}.parquet")


@pytest.mark.slow
def test_doses_are_placed_in_turn_and_one_more_keeps_the_others(designed):
    first = rolled(designed)
    overlay = yaml.safe_load((designed.root / "tiny.yaml").read_text())
    overlay["rollout"]["design"]["most"] = 3
    (designed.root / "tiny.yaml").write_text(yaml.safe_dump(overlay))
    stale = designed.stale(*TARGETS)
    assert stale["design_rollouts"] == 1
    assert "rollout_trajectories" not in stale, "a prompt has no doses to place"
    designed.snakemake("--", *TARGETS)
    second, log = rolled(designed), designed.read("results/logs/design_rollouts/tiny.honesty.seed0.mean_diff.log")
    alphas = second["alpha"].unique().sort().to_list()
    assert len(alphas) == 4
    assert second.join(first, on=first.columns, how="semi", nulls_equal=True).equals(first), "the same rows"
    assert log.count("6 to roll out") == 1, "one new dose of six questions"

    response = pl.read_csv(designed.root / "results/tables/dose_response.csv")
    assert response.filter(method="mean_diff")["n_prompts"].to_list() == [6]
    scores = pl.read_parquet(designed.root / f"{CELL}/scores/mean_diff.knowledge.parquet")
    assert scores["alpha"].unique().sort().to_list() == alphas, "tasks are asked at the same doses"
    prompt = pl.read_parquet(designed.root / f"{CELL}/rollouts/simple_prompt.trajectories.parquet")
    assert prompt["alpha"].unique().sort().to_list() == [0, 1]
    assert designed.stale(*TARGETS) == {}


@pytest.mark.slow
def test_each_dose_is_the_one_that_the_deaths_before_it_ask_for(designed):
    """The deaths are read from the table of lifetimes, which another rule writes."""
    lives = pl.read_parquet(designed.root / f"{CELL}/survival/mean_diff.lifetimes.parquet")
    deciding = lives.filter(endpoint=lives["endpoint"][0])
    order = rolled(designed)["alpha"].unique(maintain_order=True).to_list()
    share = deciding.filter(alpha=1.0)["died"].mean()
    assert order[:3] == [0, 1, 2.0 if share <= 0.5 else 0.5]


@pytest.mark.slow
def test_a_job_that_was_killed_goes_on_at_its_dose(designed):
    """What such a job leaves: tables of its first dose, and no digests of them."""
    whole = {table: rolled(designed, table) for table in ("tokens", "trajectories", "forks")}
    folder = designed.root / f"{CELL}/rollouts/designed"
    for table, frame in whole.items():
        frame.filter(pl.col("alpha").is_in([0.0, 1.0])).write_parquet(folder / f"mean_diff.{table}.parquet")
    (folder / "digests.json").unlink()
    designed.snakemake("--forcerun", "design_rollouts", "--", f"{CELL}/rollouts/designed/mean_diff.tokens.parquet")
    log = designed.read("results/logs/design_rollouts/tiny.honesty.seed0.mean_diff.log")
    assert log.count("12 trajectories kept, 0 to roll out") > 0, "alpha 0 and the first dose"
    assert log.count("0 trajectories kept, 6 to roll out") == len(whole["trajectories"]["alpha"].unique()) - 2
    assert all(rolled(designed, table).equals(frame) for table, frame in whole.items())
