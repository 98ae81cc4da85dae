"""Estimators: each finds what was planted, survives a save, and steers a model."""

import inspect

import pytest
import tiny
import torch
from hypothesis import given
from hypothesis import strategies as st
from steerdose.errors import SteerdoseError
from steerdose.make.estimators import (
    ESTIMATORS,
    Contrast,
    k_means,
    linear_weight,
    residual_role,
    sinkhorn,
)
from steerdose.model.architecture import find_blocks
from steerdose.steering.self_test import check_steering
from steerdose.steering.steering import Steering, steer
from steerdose.study.checks import estimator_options
from torch import nn

WIDTH, PROMPTS = 16, 64
SEEDS = st.integers(0, 2**31)
LINEAR = {"sspace": "self_attn.o_proj", "sspace_ablate": "mlp.down_proj", "sspace_damp_amp": "self_attn.q_proj"}


class Block(nn.Module):
    """A block with one reader, one writer, and a square layer of each role."""

    def __init__(self, generator):
        super().__init__()
        for name, shape in {
            "up_proj": (24, WIDTH), "down_proj": (WIDTH, 24), "q_proj": (WIDTH, WIDTH), "o_proj": (WIDTH, WIDTH),
        }.items():  # fmt: skip
            layer = nn.Linear(shape[1], shape[0], bias=False)
            layer.weight.data = torch.randn(shape, generator=generator)
            setattr(self, name, layer)


def normal(g, *shape):
    return torch.randn(*shape, generator=g)


def planted(name, seed, strength=5.0):
    """Return a contrast whose positive side is the negative one, moved along a random unit direction, with noise."""
    g = torch.Generator().manual_seed(seed)
    v = normal(g, WIDTH)
    v /= v.norm()
    block = Block(g)
    module = block.o_proj if name in LINEAR else block
    shared = normal(g, PROMPTS, WIDTH)
    moved = shared + strength * v + 0.1 * normal(g, PROMPTS, WIDTH)
    return Contrast(moved, shared, module), v


def cosine(a, b):
    return float(torch.cosine_similarity(a.flatten(), b.flatten(), dim=0))


def change(edit, y, c=0.01):
    return edit.change(y[None], y[None], torch.tensor(c))[0]


@pytest.mark.parametrize("name", ["mean_diff", "pca", "directional_ablation", "cosine_gated", "spherical"])
@given(seed=SEEDS, strength=st.floats(2.0, 50.0))
def test_a_planted_direction_is_found(name, seed, strength):
    contrast, v = planted(name, seed, strength)
    edit = ESTIMATORS[name](contrast)
    assert float(edit.v.norm()) == pytest.approx(1, abs=1e-6)
    assert edit.v @ v > 0.99


@given(seed=SEEDS)
def test_pca_takes_its_sign_from_raw_projections(seed):
    g = torch.Generator().manual_seed(seed)
    v, w = torch.linalg.qr(normal(g, WIDTH, 2)).Q.T
    along = 3 + torch.arange(PROMPTS) % 5.0 * 4  # differences vary most along v itself and are positive on all prompts
    differences = along[:, None] * v + 0.1 * normal(g, PROMPTS, WIDTH)
    negative = normal(g, PROMPTS, WIDTH)
    contrast = Contrast(negative + differences, negative, nn.Identity())
    for centred in (False, True):
        assert ESTIMATORS["pca"](contrast, centred=centred).v @ v > 0.95
    across = torch.where(torch.arange(PROMPTS) % 2 == 0, 8.0, -8.0)  # what prompts disagree about, mean zero
    mixed = Contrast(contrast.positive + across[:, None] * w - along[:, None] * v + v, negative, nn.Identity())
    assert abs(ESTIMATORS["pca"](mixed, centred=True).v @ w) > 0.95
    assert ESTIMATORS["mean_diff"](mixed).v @ v > 0.9


@given(seed=SEEDS)
def test_topk_clusters_finds_both_planted_directions(seed):
    g = torch.Generator().manual_seed(seed)
    two = torch.linalg.qr(normal(g, WIDTH, 2)).Q.T
    negative = normal(g, PROMPTS, WIDTH)
    which = torch.arange(PROMPTS) % 2
    contrast = Contrast(negative + 5 * two[which] + 0.1 * normal(g, PROMPTS, WIDTH), negative, nn.Identity())
    found = ESTIMATORS["topk_clusters"](contrast, clusters=2).v @ two.T
    assert found.max(0).values.min() > 0.95
    assert found.max(1).values.min() > 0.95


@given(seed=SEEDS, side=st.sampled_from([-1.0, 1.0]))
def test_angular_finds_the_planted_plane_and_turns_typical_tokens_towards_the_difference(seed, side):
    g = torch.Generator().manual_seed(seed)
    v, w = torch.linalg.qr(normal(g, WIDTH, 2)).Q.T
    negative = normal(g, PROMPTS, WIDTH) + side * 10 * w  # the mean activation lies on this side of w
    varying = 3 * torch.linspace(-1, 1, PROMPTS)[:, None] * w  # what the differences have beside v
    positive = negative + 5 * v + varying + 0.1 * normal(g, PROMPTS, WIDTH)
    edit = ESTIMATORS["angular"](Contrast(positive, negative, nn.Identity()))
    assert edit.b1 @ v > 0.95
    assert edit.b2 @ (side * w) > 0.95
    assert edit.b1 @ edit.b2 == pytest.approx(0, abs=1e-6)
    assert float(edit.b2.norm()) == pytest.approx(1, abs=1e-6)
    assert (change(edit, negative) @ v).mean() > 0


@given(seed=SEEDS)
def test_linear_transport_maps_one_pole_onto_the_other(seed):
    g = torch.Generator().manual_seed(seed)
    slope, shift = 0.2 + 3 * torch.rand(WIDTH, generator=g), 4 * normal(g, WIDTH)
    negative = normal(g, PROMPTS, WIDTH)
    negative[:, 0] = 7.0  # a coordinate that is constant can only be shifted
    positive = (slope * negative + shift)[torch.randperm(PROMPTS, generator=g)]  # transport knows no pairs
    edit = ESTIMATORS["linear_transport"](Contrast(positive, negative, nn.Identity()))
    torch.testing.assert_close(edit.scale[1:] + 1, slope[1:], atol=1e-4, rtol=1e-4)
    moved = negative + change(edit, negative, 1.0)
    torch.testing.assert_close(moved.sort(0).values, positive.sort(0).values, atol=1e-3, rtol=1e-3)


@given(seed=SEEDS, scale=st.sampled_from([1e-3, 1.0, 1e3]))
def test_chars_moves_each_cluster_by_its_own_shift_at_any_scale(seed, scale):
    g = torch.Generator().manual_seed(seed)
    centres = 20 * torch.linalg.qr(normal(g, WIDTH, 3)).Q.T
    shifts = 4 * torch.linalg.qr(normal(g, WIDTH, 3)).Q.T
    which = torch.arange(PROMPTS) % 3
    negative = centres[which] + 0.3 * normal(g, PROMPTS, WIDTH)
    positive = negative + shifts[which]
    contrast = Contrast(scale * positive, scale * negative, nn.Identity())
    edit = ESTIMATORS["chars"](contrast, clusters=3)
    moved = change(edit, contrast.negative, 1.0) / scale
    for k in range(3):
        assert cosine(moved[which == k].mean(0), shifts[k]) > 0.95
        assert float(moved[which == k].mean(0).norm()) == pytest.approx(4, rel=0.1)


@pytest.mark.parametrize("name", ["sspace", "sspace_ablate", "sspace_damp_amp", "super_sspace"])
@given(seed=SEEDS)
def test_s_space_estimators_find_the_planted_shift(name, seed):
    contrast, v = planted(name, seed)
    edit = ESTIMATORS[name](contrast)
    assert cosine(edit.back(edit.d), v) > 0.95
    assert cosine(edit.basis @ edit.basis.T, torch.eye(WIDTH)) > 0.99
    few = ESTIMATORS[name](contrast, rank=3)
    assert len(few.d) == 3
    kept = edit.d.abs().topk(3).values
    torch.testing.assert_close(few.d.abs().sort().values, (kept / kept.norm()).sort().values, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", ESTIMATORS)
@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_every_estimator_steers_a_model(name, kind, tmp_path):
    model = tiny.model(kind)
    submodules = LINEAR if kind == "llama" else dict.fromkeys(LINEAR, "mlp.c_proj")
    path = ".".join([find_blocks(model)[1], *([submodules[name]] if name in submodules else [])])
    module = model.get_submodule(path)
    g = torch.Generator().manual_seed(1)
    ids = torch.randint(2, 258, (20, 6), generator=g)
    seen = []
    handle = module.register_forward_hook(lambda _m, _a, y: seen.append((y[0] if isinstance(y, tuple) else y)[:, -1]))
    with torch.inference_mode():
        base = model(ids).logits
    handle.remove()
    contrast = Contrast(seen[0][:10] + normal(g, 32), seen[0][10:], module)
    Steering("m", ((path, ESTIMATORS[name](contrast)),), {}).save(tmp_path / "m.safetensors")
    check_steering(model, Steering.load(tmp_path / "m.safetensors"), [5, 6, 7])
    doses = torch.zeros(20)
    doses[1::2] = 1.0
    with torch.inference_mode(), steer(model, Steering.load(tmp_path / "m.safetensors"), doses):
        steered = model(ids).logits
    assert torch.equal(steered[::2], base[::2])
    assert (steered[1::2] - base[1::2]).abs().amax(dim=(1, 2)).min() > 1e-6
    assert torch.isfinite(steered).all()


def test_the_modes_of_a_linear_layer_are_its_singular_modes():
    g = torch.Generator().manual_seed(2)
    layer = nn.Linear(12, 20)
    contrast = Contrast(layer(normal(g, 8, 12)).detach(), layer(normal(g, 8, 12)).detach(), layer)
    edit = ESTIMATORS["sspace"](contrast)
    assert edit.basis.shape == (20, 12)
    torch.testing.assert_close(edit.coordinates(contrast.positive) * edit.root @ edit.basis.T + layer.bias.detach(),
                               contrast.positive, atol=1e-4, rtol=1e-4)  # fmt: skip
    gram = edit.basis * edit.root**4 @ edit.basis.T
    torch.testing.assert_close(gram, (layer.weight @ layer.weight.T).detach(), atol=1e-5, rtol=1e-4)


def test_the_modes_of_a_block_are_those_of_its_readers_and_writers():
    contrast, _ = planted("super_sspace", 3)
    edit, block = ESTIMATORS["super_sspace"](contrast), contrast.module
    W = {name: linear_weight(layer) for name, layer in block.named_children()}
    gram = sum(W[n] @ W[n].T for n in ("down_proj", "o_proj")) + sum(W[n].T @ W[n] for n in ("up_proj", "q_proj"))
    found = edit.basis.double() * edit.root.double() ** 4 @ edit.basis.double().T
    torch.testing.assert_close(found, gram, atol=1e-4, rtol=1e-4)
    assert not edit.bias.any()


def test_roles_come_from_shapes_and_square_layers_from_names():
    assert residual_role("mlp.anything", (8, 24), 8) == "writer"
    assert residual_role("mlp.anything", (24, 8), 8) == "reader"
    assert residual_role("attention.q_b", (24, 12), 8) == "inner"
    assert residual_role("attention.norm_mix", (24, 24), 8) == "inner"
    assert residual_role("self_attn.o_proj", (8, 8), 8) == "writer"
    assert residual_role("self_attn.k_proj", (8, 8), 8) == "reader"
    with pytest.raises(SteerdoseError, match=r"cannot tell whether the square layer 'attn.mystery' reads .*sspace"):
        residual_role("attn.mystery", (8, 8), 8)


def test_wrong_modules_and_options_are_refused_with_the_remedy():
    contrast, _ = planted("super_sspace", 0)
    with pytest.raises(SteerdoseError, match=r"set 'submodule' to one of \['up_proj', 'down_proj'"):
        ESTIMATORS["sspace"](contrast)
    with pytest.raises(SteerdoseError, match="set 'submodule' to null"):
        ESTIMATORS["super_sspace"](Contrast(contrast.positive, contrast.negative, nn.Identity()))
    with pytest.raises(SteerdoseError, match=r"options\.rank is 0: give a number of modes"):
        ESTIMATORS["super_sspace"](contrast, rank=0)
    with pytest.raises(SteerdoseError, match=r"options\.clusters is 65, but the fit has 64 different"):
        ESTIMATORS["chars"](contrast, clusters=65)
    same = Contrast(contrast.negative + 1, contrast.negative, nn.Identity())
    with pytest.raises(SteerdoseError, match="needs prompts whose differences differ"):
        ESTIMATORS["angular"](same)


@given(seed=SEEDS, scale=st.sampled_from([1e-8, 1.0, 1e8]))
def test_the_transport_plan_has_its_marginals_at_any_scale(seed, scale):
    g = torch.Generator().manual_seed(seed)
    cost = scale * torch.rand(4, 3, generator=g, dtype=torch.float64)
    rows, columns = (torch.rand(n, generator=g, dtype=torch.float64) + 0.1 for n in (4, 3))
    rows, columns = rows / rows.sum(), columns / columns.sum()
    plan = sinkhorn(cost, rows, columns, 0.1)
    torch.testing.assert_close(plan.sum(0), columns, atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(plan.sum(1), rows, atol=1e-3, rtol=1e-2)
    best = rows[:, None] * columns  # independence costs at least as much
    assert (plan * cost).sum() <= (best * cost).sum() * (1 + 1e-9)


def test_k_means_is_reproducible_and_separates():
    g = torch.Generator().manual_seed(0)
    points = torch.cat([normal(g, 20, 4) + 50 * k for k in range(3)]).double()
    centres, labels = k_means(points, 3)
    assert torch.equal(centres, k_means(points, 3)[0])
    assert [len(labels[20 * k : 20 * k + 20].unique()) for k in range(3)] == [1, 1, 1]


def test_the_config_check_knows_every_estimator_and_its_options():
    expected = {
        name: {p.name: p.default for p in inspect.signature(fit).parameters.values() if p.kind is p.KEYWORD_ONLY}
        for name, fit in ESTIMATORS.items()
    }
    assert estimator_options() == expected
    assert len(expected) == 13
