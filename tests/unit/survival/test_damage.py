"""Planted damage: an edit of the probe's own tokens is the readout's, garbage that the model writes is the text's."""

import pytest
import tiny
import torch
from steerdose.engine.generate import Request, roll_out
from steerdose.engine.probe import ForkPlan, Probe
from steerdose.model.architecture import find_blocks
from steerdose.outcomes.trajectories import to_tables
from steerdose.steering.edits import Add, Gated
from steerdose.steering.steering import Steering
from steerdose.survival.lifetimes import lifetimes

ASK, GARBAGE, WINDOW, END = 200, 150, 12, frozenset([0])
PROMPTS = [(5, 9, 17), (30, 31, 32, 33, 34)]
CELL = {"model": "m", "behavior": "b", "seed": 0, "method": "planted"}


@pytest.fixture(scope="module")
def model():
    return tiny.model()


@torch.inference_mode()
def distribution(model, ids):
    return model(torch.tensor([[*ids, ASK]])).logits[0, -1].softmax(-1)


@pytest.fixture(scope="module")
def probe(model):
    """Its answers are the tokens that the unsteered model prefers behind its own text to those behind garbage."""
    own = roll_out(model, None, [Request("p", ids, 0.0) for ids in PROMPTS], window=WINDOW, end_ids=END, batch_size=2)
    texts = [(*ids, *rollout.token_ids) for ids, rollout in zip(PROMPTS, own, strict=True)]
    sane = torch.stack([distribution(model, ids) for ids in texts])
    spoiled = torch.stack([distribution(model, (*ids, *[GARBAGE] * WINDOW)) for ids in PROMPTS])
    answers = (sane.mean(0) > 1.5 * spoiled.mean(0)).nonzero().flatten().tolist()
    probe = Probe(suffix=(ASK,), first=tuple(answers[::2]), second=tuple(answers[1::2]))
    assert sane[:, answers].sum(-1).min() > 0.6 > 0.4 > spoiled[:, answers].sum(-1).max()
    return probe


def lives(model, probe, steering, c, readings=("steered", "unsteered")):
    """Return the lifetimes at coefficients 0 and c, and the texts."""
    wanted = [Request(f"p{i}", ids, float(dose)) for i, ids in enumerate(PROMPTS) for dose in (0.0, c)]
    plan = ForkPlan({"ask": probe}, [WINDOW], readings)
    rollouts = roll_out(model, steering, wanted, window=WINDOW, end_ids=END, batch_size=3, plan=plan)
    tables = to_tables(tiny.tokenizer(), [(r.coefficient, r) for r in wanted], rollouts, CELL)
    found = lifetimes(tables["forks"], tables["trajectories"], 0.5, WINDOW)
    texts = {r.prompt_id: [] for r in wanted}
    for request, rollout in zip(wanted, rollouts, strict=True):
        texts[request.prompt_id].append(rollout.token_ids)
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


def test_an_edit_of_the_probe_alone_damages_the_readout(model, probe):
    found, texts = lives(model, probe, on_the_suffix(model), 1e4)
    assert all(steered == unsteered for unsteered, steered in texts.values()), "the text is left alone"
    assert found.filter(coefficient=0)["died"].to_list() == [False, False]
    assert found.filter(coefficient=1e4)["damage"].to_list() == ["readout", "readout"]


def test_garbage_that_the_unsteered_model_reads_damages_the_text(model, probe):
    found, texts = lives(model, probe, into_garbage(model), 1e3)
    assert all(set(steered) == {GARBAGE} for _, steered in texts.values())
    assert found.filter(coefficient=0)["died"].to_list() == [False, False]
    assert found.filter(coefficient=1e3)["damage"].to_list() == ["text", "text"]


def test_without_the_unsteered_reading_damage_is_not_told(model, probe):
    found, _ = lives(model, probe, into_garbage(model), 1e3, ("steered",))
    assert found["died"].to_list() == [False, True, False, True]
    assert found["damage"].null_count() == 4
