"""Planted damage: an edit of the probe's own tokens is the readout's, garbage that the model writes is the text's."""

import pytest
import tiny
import torch
from steerdose.columns import Cell
from steerdose.engine.generate import generate
from steerdose.engine.probe import ForkPlan, Probe
from steerdose.engine.requests import Request
from steerdose.model.architecture import find_blocks
from steerdose.outcomes.trajectories import to_tables
from steerdose.steering.edits import Add, Gated
from steerdose.steering.intervention import Intervention
from steerdose.steering.steering import Steering
from steerdose.survival.lifetimes import dips, with_damage

ASK, GARBAGE, WINDOW, END = 200, 150, 12, frozenset([0])
PROMPTS = [(5, 9, 17), (30, 31, 32, 33, 34)]
CELL = Cell("m", "b", 0, "planted")


@pytest.fixture(scope="module")
def loaded():
    return tiny.loaded()


@pytest.fixture(scope="module")
def model(loaded):
    return loaded.model


@torch.inference_mode()
def distribution(model, ids):
    return model(torch.tensor([[*ids, ASK]])).logits[0, -1].softmax(-1)


@pytest.fixture(scope="module")
def probe(loaded):
    """Its answers are the tokens that the unsteered model prefers behind its own text to those behind garbage."""
    own = generate(loaded, [Request("p", ids) for ids in PROMPTS], window=WINDOW, end_ids=END, batch_size=2)
    model, texts = loaded.model, [(*ids, *found.token_ids) for ids, found in zip(PROMPTS, own, strict=True)]
    sane = torch.stack([distribution(model, ids) for ids in texts])
    spoiled = torch.stack([distribution(model, (*ids, *[GARBAGE] * WINDOW)) for ids in PROMPTS])
    answers = (sane.mean(0) > 1.5 * spoiled.mean(0)).nonzero().flatten().tolist()
    probe = Probe(suffix=(ASK,), first=tuple(answers[::2]), second=tuple(answers[1::2]))
    assert sane[:, answers].sum(-1).min() > 0.6 > 0.4 > spoiled[:, answers].sum(-1).max()
    return probe


def lives(loaded, probe, steering, c, readings=("steered", "unsteered")):
    """Return the lifetimes at coefficients 0 and c, and the texts."""
    doses = [Intervention(steering, dose, alpha=dose) for dose in (0.0, float(c))]
    wanted = [Request(f"p{i}", ids, dose) for i, ids in enumerate(PROMPTS) for dose in doses]
    plan = ForkPlan({"ask": probe}, [WINDOW], readings)
    trajectories = generate(loaded, wanted, window=WINDOW, end_ids=END, batch_size=4, plan=plan)
    tables = to_tables(tiny.tokenizer(), wanted, trajectories, CELL)
    found = with_damage(
        dips(tables["trajectories"], tables["forks"], 0.5, [WINDOW]), tables["forks"], ["first_dip"], 0.5, splits=True
    )
    texts = {r.prompt_id: [] for r in wanted}
    for request, trajectory in zip(wanted, trajectories, strict=True):
        texts[request.prompt_id].append(trajectory.token_ids)
    return found, texts


def on_the_suffix(model):
    """An edit of the embedding of ASK alone: no other token is as close to its direction."""
    embedding = model.get_input_embeddings().weight.detach()
    v = embedding[ASK] / embedding[ASK].norm()
    path = next(path for path, module in model.named_modules() if module is model.get_input_embeddings())
    return Steering("suffix", ((path, Gated(v, torch.tensor(0.99))),), {})


def into_garbage(model):
    """An edit of the last block that makes GARBAGE the next token everywhere."""
    v = model.lm_head.weight.detach()[GARBAGE]
    return Steering("garbage", ((find_blocks(model)[-1], Add(v / v.norm())),), {})


def test_an_edit_of_the_probe_alone_damages_the_readout(loaded, model, probe):
    found, texts = lives(loaded, probe, on_the_suffix(model), 1e4)
    assert all(steered == unsteered for unsteered, steered in texts.values()), "the text is left alone"
    assert found.filter(coefficient=0)["died"].to_list() == [False, False]
    assert found.filter(coefficient=1e4)["damage"].to_list() == ["readout", "readout"]


def test_garbage_that_the_unsteered_model_reads_damages_the_text(loaded, model, probe):
    found, texts = lives(loaded, probe, into_garbage(model), 1e3)
    assert all(set(steered) == {GARBAGE} for _, steered in texts.values())
    assert found.filter(coefficient=0)["died"].to_list() == [False, False]
    assert found.filter(coefficient=1e3)["damage"].to_list() == ["text", "text"]


def test_without_the_unsteered_reading_damage_is_not_told(loaded, model, probe):
    found, _ = lives(loaded, probe, into_garbage(model), 1e3, ("steered",))
    assert found["died"].to_list() == [False, True, False, True]
    assert found["damage"].null_count() == 4
