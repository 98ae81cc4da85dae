"""A small study on the real SmolLM2 through snakemake, and the engine against the obvious script on that model."""

import json
import os
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest
import torch
import yaml
from conftest import make_workspace
from reference.llama_cpp import LlamaCpp
from reference.rollout import generate_one, steered_copy
from snakemake.utils import update_config
from steerdose.declarations.passed import REFERENCE_TOKENS, SUMMARIES, TOKENS
from steerdose.engine.generate import generate
from steerdose.engine.probe import ForkPlan, build_probe
from steerdose.engine.requests import Request
from steerdose.engine.score import Item, score
from steerdose.exchange.write import save_control_vector
from steerdose.files import read_json, read_table
from steerdose.model import chat
from steerdose.model.architecture import find_blocks
from steerdose.model.loading import load_model
from steerdose.model.sources import fetch
from steerdose.outcomes.relevance import gains
from steerdose.outcomes.scores import readings
from steerdose.outcomes.tasks.rows import TYPES
from steerdose.steering.edits import Add
from steerdose.steering.intervention import UNSTEERED, Intervention
from steerdose.steering.steering import Steering, steer
from steerdose.study.endpoints import Relevance
from steerdose.study.items import load_items
from steerdose.study.load import load_study
from steerdose.study.plan import Plan
from steerdose.study.tasks import ChoiceTask
from steerdose.study.texts import load_questions
from steerdose.study.work import Works

pytestmark = pytest.mark.slow

torch.set_num_threads(os.cpu_count() or 1)

CELL = "results/smollm2/honesty/seed0"


@pytest.fixture(scope="module")
def real(tmp_path_factory, warm_python):
    workspace = make_workspace(tmp_path_factory.mktemp("real"), "small.yaml", warm_python)
    doses = [f"{CELL}/calibration/{method}.json" for method in ("lora", "mean_diff")]
    workspace.snakemake("results/figs/survival.png", *doses)
    return workspace


def test_the_study_steers_doses_and_kills(real):
    audit = read_json(real.root / "results/smollm2/probe/rolled_out.json")
    assert audit["yes_no"]["median_pmass"] > 0.8, "the default probe is valid on the default model"
    texts = read_json(real.root / "results/smollm2/probe/rolled_out.texts.json")
    assert texts["nll_chat"] < 1.5 * texts["nll_plain"]
    for method in ("lora", "mean_diff"):
        calibration = read_json(real.root / CELL / f"calibration/{method}.json")
        positive = calibration["positive"]
        assert positive["converged"] or positive["reason"]
        assert positive["statistic"] == pytest.approx(1.0, rel=0.5)
        summary = read_table(real.root / CELL / f"survival/{method}.summary.parquet", SUMMARIES)
        summary = summary.filter(endpoint="first_dip")
        alive = dict(summary.select("alpha", "s_end").iter_rows())
        assert alive[0.0] >= 0.75
        assert alive[4.0] < alive[0.0], "not 0: after 3 steps the delta is close to a random one, which kills less"
        tokens = read_table(real.root / CELL / f"rollouts/{method}.tokens.parquet", TOKENS)
        mean = dict(tokens.group_by("alpha").agg(pl.col("kl").mean()).iter_rows())
        assert mean[0.0] == 0 < mean[1.0] < mean[4.0]
        coefficient = dict(summary.select("alpha", "coefficient").iter_rows())
        assert coefficient[-1.0] == pytest.approx(-calibration["negative"]["c_star"])


def test_jobs_give_the_model_about_as_many_tokens_as_was_planned(real, monkeypatch):
    """Planned from settings and lengths of texts (`study.work`), counted where the model takes them in."""
    monkeypatch.chdir(real.root)
    config = yaml.safe_load((real.root / "config.yaml").read_text())
    update_config(config, yaml.safe_load((real.root / "small.yaml").read_text()))
    study = load_study(config)
    works, found = Works(study, Plan(study)), {}
    for file in real.root.glob("results/**/provenance.json"):
        for entry in read_json(file).values():
            if entry["tokens"]:
                planned = works.of(entry["rule"], SimpleNamespace(**entry["wildcards"])).tokens
                counts = found.setdefault(entry["rule"], [0, 0])
                counts[:] = counts[0] + entry["tokens"], counts[1] + planned
    ratios = {rule: counted / planned for rule, (counted, planned) in found.items()}
    assert {"rollout_trajectories", "calibrate_alpha", "train_adapter", "audit_probe"} <= ratios.keys()
    assert all(0.5 < ratio < 2 for ratio in ratios.values()), ratios
    counted, planned = map(sum, zip(*found.values(), strict=True))
    assert 1 / 1.5 < counted / planned < 1.5


def test_the_unsteered_model_answers_claims_and_knows_no_more_than_chance(real):
    loaded = load_model(real.root / "results/models/smollm2")
    task = ChoiceTask.parse(json.dumps(yaml.safe_load(real.read("config.yaml"))["tasks"]["knowledge"]))
    claims = load_items(task.model_copy(update={"data": str(real.root / task.data), "n_items": 12}))
    found = pl.DataFrame(readings(loaded, claims, [UNSTEERED], task)[0], schema=TYPES, orient="row")
    assert found.filter(metric="pmass")["value"].mean() > 0.5
    read = found.filter(metric="logratio").with_columns(pl.col("value") * pl.col("label"))
    right = read.group_by("item").agg(pl.col("value").mean() > 0)["value"]
    assert 0.2 < right.mean() < 0.8


def test_a_text_is_about_its_own_question_and_not_about_another(real):
    """Its own texts gain by their questions; the same texts handed to other questions are irrelevant, though fluent."""
    loaded = load_model(real.root / "results/models/smollm2")
    config = yaml.safe_load(real.read("config.yaml"))
    options = Relevance(**config["relevance"] | {"tokens": 24})
    questions = load_questions(real.root / "data/questions.jsonl")[:12]
    users = {each.id: config["rollout"]["template"].replace("{question}", each.question) for each in questions}
    prompts = {name: tuple(chat.prompt_ids(loaded.tokenizer, chat.conversation(user))) for name, user in users.items()}
    tokens = read_table(real.root / "results/smollm2/reference/tokens.parquet", REFERENCE_TOKENS)
    own = tokens.filter(decoding="greedy").group_by("prompt_id", maintain_order=True).agg("token_id", "nll")
    assert own["prompt_id"].to_list() == list(prompts)
    names = list(prompts)
    items = [
        Item(name, {None: (*prompts[name], *ids)}, n_scored=len(ids))
        for name, ids in zip([*names[1:], names[0]], own["token_id"].to_list(), strict=True)
    ]
    (found,) = score(loaded, [UNSTEERED], items, batch_rows=12)
    moved = own.with_columns(
        prompt_id=pl.Series([item.id for item in items]), nll=pl.Series([[-x for x in each.tokens] for each in found])
    )
    right, wrong = (gains(loaded, texts, prompts, options) for texts in (own, moved))
    assert min(right) > 0.3 > max(wrong), "separated by what the default study calls the limit, about 0.33"


def test_the_trained_delta_is_stored_exactly_and_low_rank(real):
    lora = Steering.load(real.root / CELL / "steering/lora.safetensors")
    assert len(lora.edits) == 15 * 7
    assert max(edit.A.shape[0] for _, edit in lora.edits) == 32


@pytest.mark.parametrize("method", ["lora", "mean_diff"])
def test_the_engine_equals_the_obvious_script(real, method):
    loaded = load_model(real.root / "results/models/smollm2")
    plain = load_model(real.root / "results/models/smollm2", train=True)
    steering = Steering.load(real.root / CELL / f"steering/{method}.safetensors")
    c_star = read_json(real.root / CELL / f"calibration/{method}.json")["positive"]["c_star"]
    probes = {
        "interrupt": build_probe(loaded.tokenizer, "interrupt", '{"answer":', ["true", "false"], "True or false?"),
        "splice": build_probe(loaded.tokenizer, "splice", "Answer:", ["yes", "no"]),
    }
    texts = ["Is ice cold?", "Do penguins live in the Arctic, and if so, on which of its islands?"]
    prompts = [tuple(chat.prompt_ids(loaded.tokenizer, chat.conversation(text))) for text in texts]
    doses = [Intervention(steering, c) for c in (0.0, c_star, -2 * c_star)]
    wanted = [Request(str(i), ids, dose) for i, ids in enumerate(prompts) for dose in doses]
    times, ends = [0, 3, 12], chat.end_ids(loaded.tokenizer, loaded.model.generation_config)
    plan = ForkPlan(probes, times)
    found = generate(loaded, wanted, window=12, batch_size=4, plan=plan)
    for request, trajectory in zip(wanted, found, strict=True):
        steered = steered_copy(plain.model, steering, request.intervention.coefficient)
        expected, forks = generate_one(plain.model, steered, list(request.ids), 12, ends, probes, times)
        assert trajectory.token_ids == expected.token_ids
        assert trajectory.kl == pytest.approx(expected.kl, abs=1e-4)
        assert [(f.probe, f.reading, f.t) for f in trajectory.forks] == [fork[:3] for fork in forks]
        assert [f.pmass for f in trajectory.forks] == pytest.approx([pmass for *_, pmass, _ in forks], abs=1e-4)


def test_an_interrupt_is_smollm2s_own_rendering(real):
    tokenizer = load_model(real.root / "results/models/smollm2").tokenizer
    asked, answer = chat.conversation("Is ice cold?"), "Yes, at 0 degrees."
    joined = chat.prompt_ids(tokenizer, asked) + chat.encode(tokenizer, answer)
    joined += chat.interrupt_ids(tokenizer, asked, "True or false?", '{"answer":')
    turns = [*asked, {"role": "assistant", "content": answer}, {"role": "user", "content": "True or false?"}]
    rendered = tokenizer.apply_chat_template(turns, add_generation_prompt=True, tokenize=False)
    assert joined == chat.encode(tokenizer, rendered + '{"answer":')


def test_llama_cpp_loads_a_control_vector_and_steers_as_we_do(real, tmp_path):
    """On its own Q4_1 file, whose products it computes in 8 bits: hence a correlation and no equality."""
    source = yaml.safe_load(real.read("config.yaml"))["models"]["smollm2"]["source"]
    theirs = LlamaCpp(fetch(source, None, tmp_path))
    loaded = load_model(real.root / "results/models/smollm2")
    directions = torch.randn(3, 576, generator=torch.Generator().manual_seed(0))
    blocks = find_blocks(loaded.model)

    def steering(shift):
        edits = [(blocks[12 + 3 * i + shift], Add(30 * v / v.norm())) for i, v in enumerate(directions)]
        return Steering("random", tuple(edits), {})

    save_control_vector(loaded.model, steering(0), 1.0, tmp_path / "vector.gguf")
    texts = [[1, *chat.encode(loaded.tokenizer, text)] for text in ("The weather in Paris is", "Tell me a story about")]
    plain = [theirs.logits(ids) for ids in texts]
    theirs.load_control_vector(tmp_path / "vector.gguf")
    found = np.concatenate([theirs.logits(ids) - before for ids, before in zip(texts, plain, strict=True)])

    def ours(shift, coefficient):
        with torch.inference_mode(), steer(loaded.model, steering(shift), coefficient):
            return np.concatenate([loaded.model(torch.tensor([ids])).logits[0, -1].numpy() for ids in texts])

    same, below, above = (np.corrcoef(found, ours(shift, 1.0) - ours(shift, 0.0))[0, 1] for shift in (0, -1, 1))
    assert same > 0.98
    assert max(below, above) < 0.92
