"""Estimators: each finds what was planted, survives a save, and steers a model."""

import inspect

import pytest
import tiny
import torch
from contrast_examples import LINEAR, PROMPTS, WIDTH, normal, planted
from hypothesis import given
from hypothesis import strategies as st
from steerdose.errors import SteerdoseError
from steerdose.make.contrast import Contrast
from steerdose.make.estimators import ESTIMATORS, k_means, sinkhorn
from steerdose.model.architecture import find_blocks
from steerdose.steering.edits import Add
from steerdose.steering.self_test import check_steering
from steerdose.steering.steering import Steering, steer
from steerdose.study.estimators import ESTIMATORS as DECLARED
from torch import nn

SEEDS = st.integers(0, 2**31)


def fit(name, contrast, **options):
    """Fit an estimator with options, and the defaults of those that are not given."""
    return ESTIMATORS[name](contrast, **DECLARED[name](**options).model_dump())


def cosine(a, b):
    return float(torch.cosine_similarity(a.flatten(), b.flatten(), dim=0))


def change(edit, y, c=0.01):
    return edit.change(y[None], y[None], torch.tensor(c))[0]


@pytest.mark.parametrize("name", ["mean_diff", "pca", "directional_ablation", "cosine_gated", "spherical"])
@given(seed=SEEDS, strength=st.floats(2.0, 50.0))
def test_a_planted_direction_is_found(name, seed, strength):
    contrast, v = planted(name, seed, strength)
    edit = fit(name, contrast)
    assert float(edit.v.norm()) == pytest.approx(1, abs=1e-6)
    assert edit.v @ v > 0.99


@given(seed=SEEDS)
def test_pca_takes_its_sign_from_raw_projections(seed):
    g = torch.Generator().manual_seed(seed)
    v, w = torch.linalg.qr(normal(g, WIDTH, 2)).Q.T
    along = 3 + torch.arange(PROMPTS) % 5.0 * 4  # differences vary most along v itself and are positive on all prompts
    differences = along[:, None] * v + 0.1 * normal(g, PROMPTS, WIDTH)
    negative = normal(g, PROMPTS, WIDTH)
    contrast = Contrast(negative + differences, negative)
    for centred in (False, True):
        assert fit("pca", contrast, centred=centred).v @ v > 0.95
    across = torch.where(torch.arange(PROMPTS) % 2 == 0, 8.0, -8.0)  # what prompts disagree about, mean zero
    mixed = Contrast(contrast.positive + across[:, None] * w - along[:, None] * v + v, negative)
    assert abs(fit("pca", mixed, centred=True).v @ w) > 0.95
    assert fit("mean_diff", mixed).v @ v > 0.9


@given(seed=SEEDS)
def test_topk_clusters_finds_both_planted_directions(seed):
    g = torch.Generator().manual_seed(seed)
    two = torch.linalg.qr(normal(g, WIDTH, 2)).Q.T
    negative = normal(g, PROMPTS, WIDTH)
    which = torch.arange(PROMPTS) % 2
    contrast = Contrast(negative + 5 * two[which] + 0.1 * normal(g, PROMPTS, WIDTH), negative)
    found = fit("topk_clusters", contrast, clusters=2).v @ two.T
    assert found.max(0).values.min() > 0.95
    assert found.max(1).values.min() > 0.95


@given(seed=SEEDS, side=st.sampled_from([-1.0, 1.0]))
def test_angular_finds_the_planted_plane_and_turns_typical_tokens_towards_the_difference(seed, side):
    g = torch.Generator().manual_seed(seed)
    v, w = torch.linalg.qr(normal(g, WIDTH, 2)).Q.T
    negative = normal(g, PROMPTS, WIDTH) + side * 10 * w  # the mean activation lies on this side of w
    varying = 3 * torch.linspace(-1, 1, PROMPTS)[:, None] * w  # what the differences have beside v
    positive = negative + 5 * v + varying + 0.1 * normal(g, PROMPTS, WIDTH)
    edit = fit("angular", Contrast(positive, negative))
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
    edit = fit("linear_transport", Contrast(positive, negative))
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
    contrast = Contrast(scale * positive, scale * negative)
    edit = fit("chars", contrast, clusters=3)
    moved = change(edit, contrast.negative, 1.0) / scale
    for k in range(3):
        assert cosine(moved[which == k].mean(0), shifts[k]) > 0.95
        assert float(moved[which == k].mean(0).norm()) == pytest.approx(4, rel=0.1)


@pytest.mark.parametrize("name", ["sspace", "sspace_ablate", "sspace_damp_amp", "super_sspace"])
@given(seed=SEEDS)
def test_s_space_estimators_find_the_planted_shift(name, seed):
    contrast, v = planted(name, seed)
    edit = fit(name, contrast)
    assert cosine(edit.back(edit.d), v) > 0.95
    assert cosine(edit.basis @ edit.basis.T, torch.eye(WIDTH)) > 0.99
    few = fit(name, contrast, rank=3)
    assert len(few.d) == 3
    kept = edit.d.abs().topk(3).values
    torch.testing.assert_close(few.d.abs().sort().values, (kept / kept.norm()).sort().values, atol=1e-4, rtol=1e-4)


def test_the_coordinates_of_s_space_are_those_of_the_layers_modes_by_the_roots_of_their_singular_values():
    g = torch.Generator().manual_seed(2)
    layer = nn.Linear(12, 20)
    contrast = Contrast(layer(normal(g, 8, 12)).detach(), layer(normal(g, 8, 12)).detach(), layer)
    edit = fit("sspace", contrast)
    found = edit.coordinates(contrast.positive) * edit.root @ edit.basis.T + layer.bias.detach()
    torch.testing.assert_close(found, contrast.positive, atol=1e-4, rtol=1e-4)
    gram = edit.basis * edit.root**4 @ edit.basis.T
    torch.testing.assert_close(gram, (layer.weight @ layer.weight.T).detach(), atol=1e-5, rtol=1e-4)


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
    edit = fit(name, contrast)
    assert isinstance(edit, Add) == DECLARED[name].adds
    Steering("m", ((path, edit),), {}).save(tmp_path / "m.safetensors")
    check_steering(model, Steering.load(tmp_path / "m.safetensors"), [5, 6, 7])
    doses = torch.zeros(20)
    doses[1::2] = 1.0
    with torch.inference_mode(), steer(model, Steering.load(tmp_path / "m.safetensors"), doses):
        steered = model(ids).logits
    assert torch.equal(steered[::2], base[::2])
    assert (steered[1::2] - base[1::2]).abs().amax(dim=(1, 2)).min() > 1e-6
    assert torch.isfinite(steered).all()


def test_wrong_modules_and_options_are_refused_with_the_remedy():
    contrast, _ = planted("super_sspace", 0)
    with pytest.raises(SteerdoseError, match=r"set 'submodule' to one of \['up_proj', 'down_proj'"):
        fit("sspace", contrast)
    with pytest.raises(SteerdoseError, match="set 'submodule' to null"):
        fit("super_sspace", Contrast(contrast.positive, contrast.negative, nn.Identity()))
    with pytest.raises(SteerdoseError, match=r"options\.rank is 0: give a number of modes"):
        fit("super_sspace", contrast, rank=0)
    with pytest.raises(SteerdoseError, match=r"options\.clusters is 65, but the fit has 64 different"):
        fit("chars", contrast, clusters=65)
    same = Contrast(contrast.negative + 1, contrast.negative)
    with pytest.raises(SteerdoseError, match="needs prompts whose differences differ"):
        fit("angular", same)


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


def test_options_stand_in_the_study_under_the_names_of_the_functions_keywords():
    keywords = {
        name: [p.name for p in inspect.signature(function).parameters.values() if p.kind is p.KEYWORD_ONLY]
        for name, function in ESTIMATORS.items()
    }
    assert {name: list(options.model_fields) for name, options in DECLARED.items()} == keywords
    assert [name for name, function in ESTIMATORS.items() if function.__name__ != name] == []


def test_estimators_that_read_weights_say_so():
    """The others are fitted without the model being loaded, so what they are given has no module."""
    for name, options in DECLARED.items():
        contrast, _ = planted(name, 0)
        bare = Contrast(contrast.positive, contrast.negative)
        if options.weights:
            with pytest.raises((SteerdoseError, AttributeError)):
                fit(name, bare)
        else:
            for field, tensor in fit(name, contrast).tensors().items():
                assert torch.equal(fit(name, bare).tensors()[field], tensor), f"{name}: {field}"


def test_svd_steering_keeps_what_the_block_writes_and_no_more():
    block = tiny.model().model.layers[1]
    generator = torch.Generator().manual_seed(3)
    positive, negative = (torch.randn(50, 32, generator=generator) for _ in range(2))
    contrast = Contrast(positive + 1, negative, block)
    W = torch.cat([block.self_attn.o_proj.weight, block.mlp.down_proj.weight], 1).detach().double()
    Q = torch.linalg.svd(W).U[:, :4]
    unit = contrast.mean_difference / contrast.mean_difference.norm()
    few, all_ = (ESTIMATORS["svd_steering"](contrast, rank=rank).v.double() for rank in (4, 32))
    torch.testing.assert_close(few, Q @ (Q.T @ unit), atol=1e-5, rtol=1e-4)
    assert few.norm() < 0.9, "not scaled up again: the projection is as long as it is"
    torch.testing.assert_close(all_, unit, atol=1e-5, rtol=1e-4)
    with pytest.raises(SteerdoseError, match=r"options\.rank is 0"):
        ESTIMATORS["svd_steering"](contrast, rank=0)
