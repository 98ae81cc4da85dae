"""The whole study through snakemake on a random tiny Llama with grouped-query attention: files, columns, invariants."""

import shutil
from itertools import product

import numpy as np
import polars as pl
import pytest
import tiny
import torch
import yaml
from steerdose.declarations.index import TABLES
from steerdose.files import read_json
from steerdose.files import read_table as read_declared
from steerdose.steering.edits import LowRank
from steerdose.steering.steering import Steering

pytestmark = pytest.mark.slow

CELL = "results/tiny/honesty/seed0"
KEYS = ["model", "behavior", "seed", "method", "alpha", "coefficient", "prompt_id", "sample"]
SUMMARY = "results/tables/survival.csv"
METHODS = ["lora", "mean_diff"]
ENDPOINTS = ["text", "answer", "first_dip", "kl"]


def read_table(path):
    """Read a parquet file as the declared table that its name says."""
    name = {"summary": "summaries", "texts": "texts_of_method"}.get(path.stem.split(".")[-1], path.stem.split(".")[-1])
    return read_declared(path, TABLES[name if name in TABLES else path.parent.name])


@pytest.fixture
def table(finished_study):
    return lambda path: read_table(finished_study.root / CELL / path)


def test_every_declared_result_is_there(finished_study):
    figures = [path.stem.removeprefix("plot_") for path in finished_study.root.glob("workflow_scripts/plot_*.py")]
    for name in figures:
        for suffix in ("png", "svg"):
            assert (finished_study.root / f"results/figs/{name}.{suffix}").stat().st_size > 5000
    assert "mean_diff" in finished_study.read("results/tables/survival.csv")
    geometry = pl.read_csv(finished_study.root / "results/tables/geometry.csv")
    assert geometry.select("model", "seed", "method", "group").rows() == [
        ("tiny", 0, "lora", "adapter"), ("tiny", 0, "mean_diff", "activation"),
    ]  # fmt: skip
    probes = pl.read_csv(finished_study.root / "results/tables/probes.csv")
    assert probes["probe"].to_list() == ["json_interrupt", "yes_no", "json_splice", "multiple_choice", "recall"]
    assert probes["trajectories"].to_list() == [16, 16, None, None, None]
    aggregation = pl.read_csv(finished_study.root / "results/tables/aggregation.csv")
    assert aggregation["statistic"].to_list() == ["mean", "p50", "rmse", "p90", "p95", "p99", "max"]
    assert aggregation["deaths"][0] >= aggregation["matched_deaths"][0]
    assert geometry["norm_delta"].to_list()[0] > 0
    logrank = pl.read_csv(finished_study.root / "results/tables/logrank.csv")
    hazards = pl.read_csv(finished_study.root / "results/tables/hazards.csv")
    assert set(hazards["methods"]) == {*METHODS, "all"}
    assert hazards.filter(pl.col("estimate").is_null() == pl.col("note").is_null()).is_empty()
    assert logrank["comparison"].to_list() == ["unsteered"] * 4 + ["neighbours"] * 4 + ["methods"] * 2
    methods = pl.read_csv(finished_study.root / "results/tables/methods.csv")
    assert methods.select("method", "sign").rows() == [(m, s) for m in METHODS for s in ("positive", "negative")]
    assert methods["norm"].min() > 0
    assert methods["seconds"].min() > 0
    assert methods.select(pl.col("effect").is_null())["effect"].to_list() == [False, True, False, True]
    deaths = pl.read_csv(finished_study.root / "results/tables/deaths.csv")
    histories = deaths.select("at_once", "spike", "sustained", "neither", "unclear").sum_horizontal()
    assert histories.to_list() == deaths["died"].to_list()
    assert deaths["endpoint"].unique(maintain_order=True).to_list() == ENDPOINTS
    survival = pl.read_csv(finished_study.root / "results/tables/survival.csv")
    assert survival.select("n", "died", "ended", "censored").rows() == [
        (4, died, ended, 4 - died - ended) for died, ended in survival.select("died", "ended").rows()
    ]
    agreement = pl.read_csv(finished_study.root / "results/tables/agreement.csv")
    assert agreement["method"].unique(maintain_order=True).to_list() == [*METHODS, "all methods"]
    doses = pl.read_csv(finished_study.root / "results/tables/endpoints.csv")
    assert doses.select("method", "endpoint").sort("method").rows() == [(m, e) for m in METHODS for e in ENDPOINTS]
    texts = pl.read_csv(finished_study.root / "results/tables/texts.csv")
    assert texts.filter(alpha=0)["compression"].n_unique() == 1  # both methods roll the same unsteered texts out
    effects = pl.read_csv(finished_study.root / "results/tables/effects.csv")
    knowledge = effects.filter(task="knowledge")
    assert knowledge.select("method", "alpha", "n").rows() == [(m, a, 80) for m in METHODS for a in (0, 1, 3)]
    assert knowledge.filter(alpha=0)["level"].n_unique() == 1
    assert knowledge.filter(pl.col("alpha") > 0)["effect"].abs().min() > 0
    assert effects["task"].unique(maintain_order=True).to_list() == ["knowledge", "mood", "text"]
    doses = pl.read_csv(finished_study.root / "results/tables/dose.csv")
    assert doses.select("method", "sign", "verdict").rows() == [(m, "positive", "not measured") for m in METHODS]
    assert "sign agreement" in finished_study.read("results/tables/seeds.html")
    assert finished_study.read("results/tables/survival.html").lstrip().lower().startswith("<!doctype html>")
    leftovers = [path for path in (finished_study.root / "results").rglob(".*") if ".snakemake" not in str(path)]
    assert [path for path in leftovers if path.name != ".snakemake_timestamp"] == []


def test_prefixes_stand_at_the_forks(table):
    for method in METHODS:
        prefixes, forks = table(f"deaths/{method}.prefixes.parquet"), table(f"rollouts/{method}.forks.parquet")
        assert prefixes.select(*KEYS, "t").sort(*KEYS, "t").equals(forks.select(*KEYS, "t").unique().sort(*KEYS, "t"))


def test_at_alpha_0_the_kl_is_exactly_0_and_methods_agree(table):
    unsteered = []
    for method in METHODS:
        tokens = table(f"rollouts/{method}.tokens.parquet")
        assert tokens.filter(alpha=0)["kl"].unique().to_list() == [0.0]
        assert tokens.filter(pl.col("alpha") > 0)["kl"].max() > 0.01
        unsteered.append(table(f"rollouts/{method}.trajectories.parquet").filter(alpha=0)["text"].to_list())
    assert unsteered[0] == unsteered[1]


def test_doses_are_multiples_of_the_calibrated_coefficient(finished_study, table):
    for method in METHODS:
        found = read_json(finished_study.root / CELL / f"calibration/{method}.json")
        for sign in ("positive", "negative"):
            assert found[sign]["evaluations"] <= 6
            assert found[sign]["converged"] == (abs(found[sign]["statistic"] / 0.2 - 1) <= 0.05)
            assert found[sign]["reason"]
        doses = table(f"rollouts/{method}.trajectories.parquet").select("alpha", "coefficient").unique()
        for alpha, coefficient in doses.iter_rows():
            assert coefficient == pytest.approx(alpha * found["positive"]["c_star"])


def test_survival_follows_from_the_forks(finished_study, table):
    threshold = read_json(finished_study.root / "results/tiny/probe/threshold.json")["json_interrupt"]["threshold"]
    for method in METHODS:
        forks = table(f"rollouts/{method}.forks.parquet").filter(probe="json_interrupt", reading="steered")
        dead = forks.group_by(KEYS).agg((pl.col("pmass") < threshold).any().alias("dead"))
        summary = table(f"survival/{method}.summary.parquet").filter(endpoint="first_dip")
        for alpha, n, died in summary.select("alpha", "n", "died").iter_rows():
            assert n == 4
            assert died == dead.filter(alpha=alpha)["dead"].sum()


def test_texts_that_died_left_the_band(finished_study, table):
    """Each death by text is found again from the tokens, one by one."""
    limits = read_json(finished_study.root / "results/tiny/reference/bands.json")["text"]["bands"]
    for method in METHODS:
        tokens = table(f"rollouts/{method}.tokens.parquet")
        for life in table(f"survival/{method}.lifetimes.parquet").filter(endpoint="text").iter_rows(named=True):
            own = tokens.filter(**{name: life[name] for name in ("alpha", "prompt_id")}).sort("t")
            ids, nll = own["token_id"].to_list(), own["nll"].to_list()
            grams = [tuple(ids[i - 3 : i + 1]) if i >= 3 else None for i in range(len(ids))]
            back = [g is not None and g in grams[max(0, i - 6) : i] for i, g in enumerate(grams)]
            rang = []
            for t in range(1, len(ids) + 1):
                repetition = sum(back[t - 6 : t]) / 6 if t >= 6 else 0.0
                surprise, wide = (sum(nll[t - n : t]) / n if t >= n else 0.0 for n in (4, 6))
                left = repetition > limits["repetition"] or surprise > limits["nll"]
                rang.append(left or repetition * wide > limits["joint"])
            runs = "".join("x" if each else "." for each in rang)
            assert life["died"] == ("xxx" in runs or runs.endswith("x")), (method, life)


def test_lethal_doses_follow_from_the_survival_table(finished_study):
    doses = pl.read_csv(finished_study.root / "results/tables/dose_response.csv")
    assert doses.select("method", "sign", "dose_min", "dose_max").rows() == [(m, "positive", 1, 3) for m in METHODS]
    survival = pl.read_csv(finished_study.root / "results/tables/survival.csv").filter(alpha=1, endpoint="text")
    assert doses["dead_at_1"].to_list() == pytest.approx(survival["incidence"].to_list())
    assert "6 prompts are needed" in finished_study.read("results/tables/dose_response.html")
    sweep = pl.read_csv(finished_study.root / "results/tables/threshold_sweep.csv")
    configured = sweep.filter("configured")
    assert configured["value"].unique().to_list() == [0.75]
    same = ["method", "sign", "ld50", "status", "safe_dose", "dead_at_1"]
    by_endpoint = pl.read_csv(finished_study.root / "results/tables/endpoints.csv").filter(endpoint="first_dip")
    assert configured.select(same).rows() == by_endpoint.select(same).rows()
    shares = read_table(finished_study.root / "results/tables/threshold_shares.parquet").filter("configured")
    summary = pl.read_csv(finished_study.root / "results/tables/survival.csv").filter(endpoint="first_dip")
    assert shares.select("method", "alpha").equals(summary.select("method", "alpha"))
    assert shares["dead"].to_list() == pytest.approx(summary["incidence"].to_list())


def test_forks_are_read_by_every_probe_on_both_models(finished_study, table):
    threshold = read_json(finished_study.root / "results/tiny/probe/threshold.json")
    assert not threshold["json_interrupt"]["splits"]
    for method in METHODS:
        forks = table(f"rollouts/{method}.forks.parquet")
        steered, unsteered = (forks.filter(reading=reading).drop("reading") for reading in ("steered", "unsteered"))
        places = [*KEYS, "probe", "t"]
        assert steered.select(places).equals(unsteered.select(places))
        assert set(steered["probe"]) == {"json_interrupt", "yes_no"}
        assert steered.filter(alpha=0).equals(unsteered.filter(alpha=0))
        assert not steered.filter(pl.col("alpha") > 0).equals(unsteered.filter(pl.col("alpha") > 0))
        at_0 = unsteered.filter(t=0).group_by("probe", "prompt_id").agg(pl.col("pmass").max() - pl.col("pmass").min())
        assert at_0["pmass"].max() < 1e-6, "without any text all doses leave the same to the unsteered model"
        lives = table(f"survival/{method}.lifetimes.parquet")
        assert lives["damage"].null_count() == lives.height, "garbage does not move a probe of a random model"


def test_the_steering_files_say_where_they_come_from(finished_study):
    source = read_json(finished_study.root / "results/models/tiny/source.json")
    for method in METHODS:
        steering = Steering.load(finished_study.root / CELL / f"steering/{method}.safetensors")
        assert steering.method == method
        assert steering.metadata["model_sha256"] == source["sha256"]
        assert steering.metadata["behavior"] == "honesty"
    lora = Steering.load(finished_study.root / CELL / "steering/lora.safetensors")
    assert {type(edit) for _, edit in lora.edits} == {LowRank}
    assert all(edit.A.shape[0] <= 4 for _, edit in lora.edits)
    assert read_json(finished_study.root / CELL / "steering/lora.geometry.json")["norm_delta"] > 0


def test_a_second_study_from_scratch_gives_the_same_bytes(finished_study, fresh):
    made = [path.relative_to(finished_study.root) for path in (finished_study.root / CELL).rglob("lora*.parquet")]
    made = [path for path in made if path.parent.name in ("survival", "scores", "calibration")]
    fresh.snakemake(*map(str, made))
    for path in [*made, f"{CELL}/rollouts/lora.tokens.parquet", f"{CELL}/pairs.parquet"]:
        assert (finished_study.root / path).read_bytes() == (fresh.root / path).read_bytes(), path


def test_another_peft_family_is_a_config_entry(study):
    study.configure(
        study={"methods": ["lora", "rescale"]},
        methods={
            "rescale": {
                "kind": "adapter", "delta": "difference", "peft_type": "IA3", "options": {"feedforward_modules": []},
                "target_modules": ["k_proj", "v_proj"], "layer_range": [0.0, 1.0],
                "training": {
                    "steps": 2, "batch_size": 4, "learning_rate": 0.1, "weight_decay": 0, "warmup_steps": 0,
                    "precision": "float32", "max_tokens": 400, "eval_steps": 2, "heldout_fraction": 0.1,
                },
            }
        },
    )  # fmt: skip
    study.snakemake(f"{CELL}/calibration/rescale.json")
    assert (study.root / CELL / "calibration/rescale.json").exists()


def test_several_models_and_seeds_are_one_study(study):
    tiny.save(study.root / "other_model", seed=1)
    config = yaml.safe_load(study.read(study.overlay))
    study.configure(
        models={"other": {**config["models"]["tiny"], "source": "other_model"}},
        study={"models": ["tiny", "other"], "seeds": [0, 1], "methods": ["mean_diff"]},
        rollout={"alphas": [0, 1, -1]},
    )
    study.snakemake("results/tables/methods.csv", "results/tables/geometry.csv")
    methods = pl.read_csv(study.root / "results/tables/methods.csv")
    cells = methods.select("model", "seed", "sign").rows()
    assert cells == list(product(("tiny", "other"), (0, 1), ("positive", "negative")))
    assert methods["effect"].null_count() == 0
    seeds = pl.read_csv(study.root / "results/tables/seeds.csv")
    assert seeds.select("model", "sign", "seeds").rows() == [
        (model, sign, 2) for model in ("tiny", "other") for sign in ("positive", "negative")
    ]
    own = methods.filter(model="other", sign="negative")
    row = seeds.filter(model="other", sign="negative").row(0, named=True)
    assert row["c_star_mean"] == pytest.approx(own["c_star"].mean())
    assert row["c_star_std"] == pytest.approx(own["c_star"].std())
    assert row["effect_sign_agreement"] in (0.5, 1.0)
    geometry = pl.read_csv(study.root / "results/tables/geometry.csv")
    assert geometry["seed_cosine"].is_between(-1, 1).all()
    assert geometry.filter(model="tiny")["seed_cosine"].n_unique() == 1


def test_prompts_run_through_the_whole_chain_and_set_a_target(study):
    study.configure(
        study={"methods": ["mean_diff", "simple_prompt"]},
        rollout={"alphas": [-3, 0, 1]},
        methods={"mean_diff": {"target": {"prompt": "simple_prompt"}}},
    )
    tables = ("survival", "geometry", "methods", "effects")
    study.snakemake(*(f"results/tables/{name}.csv" for name in tables), "results/figs/survival.png")
    found, measured = (read_json(study.root / CELL / f"calibration/{m}.json") for m in ("mean_diff", "simple_prompt"))
    for sign in ("positive", "negative"):
        assert found[sign].keys() == measured[sign].keys()
        assert measured[sign]["statistic"] == found[sign]["target"] > 0.01
        assert (measured[sign]["c_star"], measured[sign]["reason"]) == (None, "a prompt has no dose")
    tables = {m: read_table(study.root / CELL / f"rollouts/{m}.tokens.parquet") for m in ("mean_diff", "simple_prompt")}
    steered, prompted = tables.values()
    assert steered.schema == prompted.schema
    doses = prompted.select("alpha", "coefficient").unique().sort("alpha")
    assert doses.rows() == [(-1.0, None), (0.0, 0.0), (1.0, None)]
    assert prompted.filter(alpha=0)["kl"].unique().to_list() == [0.0]
    assert prompted.filter(pl.col("alpha") != 0)["kl"].max() > 0.01
    assert prompted.filter(alpha=0)["token_id"].to_list() == steered.filter(alpha=0)["token_id"].to_list()
    survival = study.read("results/tables/survival.csv")
    assert survival.count("simple_prompt") == 9, "of three endpoints: a prompt has no target of KL"
    assert "simple_prompt" not in study.read("results/tables/geometry.csv")


def test_controls_and_s_space_run_through_the_whole_chain(study):
    activation = {"kind": "activation", "depths": [0.1, 0.4]}
    study.configure(
        study={"methods": ["lora", "mean_diff", "random_lora", "damp_amp"]},
        methods={
            "random_lora": {"kind": "random", "of": "lora", "draw": 3},
            "damp_amp": {**activation, "estimator": "sspace_damp_amp", "submodule": "mlp.down_proj"},
            "shuffled": {**activation, "estimator": "pca", "options": {"centred": True}, "shuffle_labels": True},
        },
    )
    study.snakemake("results/tables/survival.csv", f"{CELL}/steering/shuffled.safetensors")
    table = study.read("results/tables/survival.csv")
    assert "random_lora" in table
    assert "damp_amp" in table
    lora, control = (Steering.load(study.root / CELL / f"steering/{m}.safetensors") for m in ("lora", "random_lora"))
    for (path, edit), (place, drawn) in zip(lora.edits, control.edits, strict=True):
        assert path == place
        assert float((drawn.B @ drawn.A).norm()) == pytest.approx(float((edit.B @ edit.A).norm()), rel=1e-4)
        assert not torch.equal(drawn.A, edit.A)
    geometry = read_json(study.root / CELL / "steering/damp_amp.geometry.json")
    assert [entry["module"] for entry in geometry["modules"]] == [f"model.layers.{i}.mlp.down_proj" for i in (0, 1)]
    assert all(-1 <= entry["stability"] <= 1 for entry in geometry["modules"])


def test_steerings_made_elsewhere_run_through_the_chain_and_follow_their_files(study):
    entries = {
        "pair": {"format": "peft", "positive": "honest", "negative": "dishonest"},
        "vector": {"format": "vectors", "positive": "vector.npz", "negative": None},
    }
    for sign, folder in (("positive", "honest"), ("negative", "dishonest")):
        shutil.copytree(study.root / CELL / f"adapters/lora.{sign}", study.root / folder)
    ours = {name: Steering.load(study.root / CELL / f"steering/{name}.safetensors") for name in METHODS}
    ((place, edit),) = ours["mean_diff"].edits
    np.savez(study.root / "vector.npz", **{place: edit.v.numpy()})
    study.configure(methods={name: {"kind": "import", **entry} for name, entry in entries.items()})
    made = [f"{CELL}/steering/{name}.safetensors" for name in entries]
    study.snakemake(f"{CELL}/calibration/vector.json", *made)
    for original, path in zip(METHODS, made, strict=True):
        imported = Steering.load(study.root / path)
        for (a, x), (b, y) in zip(ours[original].edits, imported.edits, strict=True):
            assert a == b
            assert all(torch.equal(tensor, y.tensors()[name]) for name, tensor in x.tensors().items())
    np.savez(study.root / "vector.npz", **{place: 2 * edit.v.numpy()})
    assert study.stale(*made) == {"import_steering": 1}
    np.savez(study.root / "vector.npz", **{"9": edit.v.numpy()})
    assert study.snakemake(made[1], check=False).returncode == 1
    log = study.read("results/logs/import_steering/tiny.honesty.seed0.vector.log")
    assert "methods.vector (vector.npz): does not fit the model in results/models/tiny:\n  9: the model has no" in log
    assert "Traceback" not in log
    assert not (study.root / made[1]).exists()
