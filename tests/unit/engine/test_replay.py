"""Replay: texts packed into trees and read under merged deltas, against the engine that reads rows under hooks."""

import pytest
import tiny
import torch
from steerdose.engine import replay as module
from steerdose.engine.divergence import divergence
from steerdose.engine.replay import Replay, packs
from steerdose.engine.score import Item, score
from steerdose.steering.edits import Add, Dense, LowRank
from steerdose.steering.intervention import UNSTEERED, Intervention
from steerdose.steering.steering import Steering, steer

MODULES = {
    "llama": ("model.layers.1.mlp.down_proj", "model.layers.2.self_attn.q_proj"),
    "gpt2": ("transformer.h.1.mlp.c_proj", "transformer.h.2.attn.c_attn"),
    "gpt_neox": ("gpt_neox.layers.1.mlp.dense_4h_to_h", "gpt_neox.layers.2.attention.query_key_value"),
    "mistral": ("model.layers.1.mlp.down_proj", "model.layers.2.self_attn.q_proj"),
    "gemma3": ("model.layers.1.mlp.down_proj", "model.layers.2.self_attn.q_proj"),
    "mamba": ("backbone.layers.1.mixer.in_proj", "backbone.layers.2.mixer.out_proj"),
}


def normal(*shape, seed):
    return 0.05 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def shape_of(model, path):
    weight = dict(model.named_modules())[path].weight
    return (
        tuple(weight.T.shape) if type(dict(model.named_modules())[path]).__name__ == "Conv1D" else tuple(weight.shape)
    )


def delta(model, kind):
    first, second = MODULES[kind]
    out, width = shape_of(model, first)
    edits = [(first, LowRank(A=normal(2, width, seed=1), B=20 * normal(out, 2, seed=2)))]
    edits.append((second, Dense(normal(*shape_of(model, second), seed=3))))
    return Steering("lora", tuple(edits), {})


def texts():
    start = (1, 50, 60, 70, 80)
    return [
        Item("a", {None: (*start, 90, 91, 92, 93)}, n_scored=3),
        Item("b", {None: (*start, 90, 91, 100, 101, 102)}, n_scored=3),
        Item("c", {None: (*start, 110)}, answers=((40, 41), (42,))),
        Item("d", {None: (7, 8, 9, 10, 11, 12)}, answers=((40,), (42,)), n_scored=2),
    ]


@pytest.mark.parametrize("kind", MODULES)
def test_packed_texts_under_merged_deltas_read_like_single_ones_under_hooks(kind):
    loaded = tiny.loaded(kind)
    steering = delta(loaded.model, kind)
    replay = Replay(loaded, texts())
    for given, found in ((UNSTEERED, replay.unsteered), (Intervention(steering, 2.0), replay.read(steering, 2.0))):
        expected = score(loaded, [given], texts(), batch_rows=1)[0]
        for one, other in zip(found.scores, expected, strict=True):
            assert one.answers == pytest.approx(other.answers, abs=1e-4)
            assert one.tokens == pytest.approx(other.tokens, abs=1e-4)
            assert (one.answered, one.likeliest) == (other.answered, other.likeliest)


@pytest.mark.parametrize("kind", ["llama", "gpt2", "mistral"])
def test_the_kl_is_that_of_the_tokens_asked_for(kind):
    loaded = tiny.loaded(kind)
    steering = delta(loaded.model, kind)
    found = Replay(loaded, texts()).read(steering, 2.0)
    for item, kl in zip(texts(), found.kl, strict=True):
        ids = torch.tensor([item.ids[None]])
        with torch.inference_mode():
            base = loaded.model(ids).logits[0]
            with steer(loaded.model, steering, 2.0):
                steered = loaded.model(ids).logits[0]
        every = divergence(steered, base, ids[0])[0]
        asked = [*range(len(every) - 1 - item.n_scored, len(every) - 1), *([len(every) - 1] if item.answers else [])]
        assert kl == pytest.approx(every[asked].tolist(), abs=1e-4)
    assert found.mean_kl == pytest.approx(sum(map(sum, found.kl)) / 10, rel=1e-9)


def test_common_beginnings_stand_once_and_rows_end_at_the_width(monkeypatch):
    ids = [item.ids[None] for item in texts()]
    (pack,) = packs(ids, shareable=True)
    assert len(pack.ids) == 5 + 2 + 2 + 3 + 1 + 6
    for item, places in zip(pack.items, pack.places, strict=True):
        assert tuple(pack.ids[list(places)].tolist()) == ids[item]
        assert pack.depth[list(places)].tolist() == list(range(len(places)))
        assert pack.sees[places[-1]].nonzero()[:, 0].tolist() == sorted(places)
    monkeypatch.setattr(module, "WIDTH", 12)
    rows = packs(ids, shareable=True)
    assert sorted(item for row in rows for item in row.items) == [0, 1, 2, 3]
    assert len(rows) > 1
    assert all(len(row.ids) <= 12 for row in rows)


def test_blocks_below_the_first_edit_are_not_computed_again():
    loaded = tiny.loaded()
    replay, calls = Replay(loaded, texts()), []
    for layer in (0, 1, 2):
        loaded.model.model.layers[layer].mlp.register_forward_hook(lambda *_, layer=layer: calls.append(layer))
    replay.read(Steering("one", (("model.layers.1.mlp.down_proj", Dense(normal(32, 64, seed=1))),), {}), 1.0)
    assert calls == [1, 2]
    replay.read(Steering("two", (("lm_head", Dense(normal(258, 32, seed=1))),), {}), 1.0)
    assert calls == [1, 2, 0, 1, 2], "an edit outside the blocks shares nothing"


@pytest.mark.parametrize("break_off", [False, True])
def test_the_weights_are_the_same_objects_afterwards(break_off):
    loaded = tiny.loaded()
    replay, before = Replay(loaded, texts()), {n: (p, p.clone()) for n, p in loaded.model.named_parameters()}
    steering = delta(loaded.model, "llama")
    if break_off:
        steering = Steering("bad", (*steering.edits, ("model.layers.2.mlp.up_proj", Dense(normal(3, 3, seed=1)))), {})
        with pytest.raises(RuntimeError):
            replay.read(steering, 1.0)
    else:
        replay.read(steering, 1.0)
    for name, parameter in loaded.model.named_parameters():
        assert parameter is before[name][0]
        assert torch.equal(parameter, before[name][1])
    assert "forward" not in vars(loaded.model.model.layers[0])


def test_what_is_no_weight_delta_is_steered_by_hooks():
    loaded = tiny.loaded()
    steering = Steering("mean_diff", (("model.layers.1", Add(normal(32, seed=4))),), {})
    found = Replay(loaded, texts()).read(steering, 30.0)
    expected = score(loaded, [Intervention(steering, 30.0)], texts(), batch_rows=1)[0]
    assert [each.tokens for each in found.scores] == [pytest.approx(each.tokens, abs=1e-4) for each in expected]


def test_a_dose_that_breaks_the_arithmetic_has_no_score_and_infinite_kl():
    loaded = tiny.loaded()
    found = Replay(loaded, texts()).read(delta(loaded.model, "llama"), 1e38)
    assert found.scores == [None] * 4
    assert found.mean_kl == float("inf")
