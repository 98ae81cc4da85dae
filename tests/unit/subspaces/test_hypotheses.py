"""Every hypothesis on a planted model: it finds what it says, and says what it does not apply to."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from steerdose.model.residual import residual_view
from steerdose.steering.steering import Steering
from steerdose.study.subspaces import LEGACY, Switches
from steerdose.subspaces import of_attention  # noqa: F401 (registers)
from steerdose.subspaces.linear import orthonormal
from steerdose.subspaces.of_activations import Activations
from steerdose.subspaces.of_weights import Weights
from steerdose.subspaces.registry import HYPOTHESES, built
from subspace_examples import given, normal

K = 8
CORRECTED = Switches()
OF_OTHERS = {"causally_isolated", "qk_x_chars_clusters"}  # made of bases of the width that is asked for
WITH_WEIGHTS = {
    "up_proj_input_contrast", "up_proj_output_written_contrast", "gate_kernel", "attention_sink",
    "qk_x_chars_clusters", "WNR_union_TaskDiff",
}  # built of activations and weights, which a turn of the stream would have to turn too  # fmt: skip
RANDOM = {"chars_clusters"}  # clusters are found from random starts
OF_WEIGHTS = [name for name, each in HYPOTHESES.items() if each.given == "weights"]


@pytest.fixture(autouse=True)
def _narrow(monkeypatch):
    monkeypatch.setattr("steerdose.subspaces.of_weights.BROAD", 4)  # of a stream of 32


def build(name, things, i=1, k=K):
    each = HYPOTHESES[name]
    return each.build(things.weights if each.given == "weights" else things, i, k)


def held(name, things, direction, i=1, k=K):
    """Return the share of a unit direction that lies in a hypothesis's basis."""
    return float((build(name, things, i, k).Q.T @ direction.double()).square().sum())


def unit(seed=9, width=32):
    return torch.nn.functional.normalize(normal(width, seed=seed), dim=0)


def with_block(things, i, **changes):
    """Return the same with another block i."""
    blocks = list(things.weights.view.blocks)
    blocks[i] = replace(blocks[i], **changes)
    planted = replace(things.weights.view, blocks=tuple(blocks))
    return Activations(things.sites, Weights(planted, things.weights.switches))


def test_there_are_the_published_42_and_the_mean_difference():
    assert len(HYPOTHESES) == 43
    assert all(each.formula for each in HYPOTHESES.values())


@pytest.mark.parametrize("switches", [CORRECTED, LEGACY], ids=["corrected", "legacy"])
@pytest.mark.parametrize("name", HYPOTHESES)
def test_every_basis_is_orthonormal_and_as_wide_as_it_says(name, switches):
    things = given(switches=switches)
    things.weights.view = replace(things.weights.view, first_token=5)  # 0 is the padding's, whose embedding is zero
    basis = build(name, things)
    wide = 2 * K if name == "WNR_union_TaskDiff" else K
    assert 0 < basis.Q.shape[1] <= wide
    torch.testing.assert_close(basis.Q.T @ basis.Q, torch.eye(basis.Q.shape[1]).double(), atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", [name for name in HYPOTHESES if name not in OF_OTHERS])
def test_a_basis_of_a_smaller_width_is_the_beginning_of_a_wider_one(name):
    things = given()
    wide = build(name, things).Q
    narrow = build(name, things, k=2).Q
    assert (wide[:, :2].T @ narrow).square().sum() == pytest.approx(narrow.shape[1], abs=1e-4)


@pytest.mark.parametrize("name", ["write", "mlp_write", "global_write", "WNR_union_TaskDiff"])
def test_what_a_block_writes_loudly_is_found(name):
    u, things = unit(), given()
    writers = dict(things.weights.block(1).writers)
    for role, W in writers.items():
        writers[role] = W + 200 * torch.outer(u, normal(W.shape[1], seed=3))
    assert held(name, with_block(things, 1, writers=writers), u) > 0.4
    assert held(name, things, u) < 0.8


@pytest.mark.parametrize("name", ["attn_write", "write"])
def test_what_attention_writes_is_found_beside_a_much_louder_mlp(name):
    """Both are heard alike; as published the louder one is heard alone."""
    u, things = unit(), given()
    writers = dict(things.weights.block(1).writers)
    writers["o"] = 20 * torch.outer(u, normal(writers["o"].shape[1], seed=3))
    writers["down"] = 1e4 * writers["down"]
    assert held(name, with_block(things, 1, writers=writers), u) > 0.99
    legacy = Activations(things.sites, Weights(with_block(things, 1, writers=writers).weights.view, LEGACY))
    assert name == "attn_write" or held(name, legacy, u) < 0.9


@pytest.mark.parametrize(
    ("name", "roles"),
    [
        ("mlp_up_read", ["up"]), ("mlp_gate_read", ["gate"]), ("attn_qkv_read", ["q"]), ("kv_super", ["v"]),
        ("input_super", ["gate"]), ("global_read", ["q", "k", "v", "up", "gate"]), ("qk_circuit", ["q"]),
    ],
)  # fmt: skip
def test_what_is_read_loudly_is_found_in_the_coordinates_of_the_stream(name, roles):
    """The norm's gain is part of what is read: without it the direction is another one."""
    u, things = unit(), given()
    block = things.weights.block(1)
    gain = 1 + 5 * normal(32, seed=4).abs()
    norms = {role: replace(norm, gain=gain) for role, norm in block.norms.items()}
    readers = dict(block.readers)
    for role in roles:
        readers[role] = 1e4 * torch.outer(normal(len(readers[role]), seed=3), u / gain)
    planted = with_block(things, 1, readers=readers, norms=norms)
    assert held(name, planted, u, k=1) > 0.99
    legacy = Activations(things.sites, Weights(planted.weights.view, LEGACY))
    assert held(name, legacy, u, k=1) < 0.9


@pytest.mark.parametrize(
    "name", ["write_not_lm_head_read", "write_not_global_read", "write_not_downstream_read", "causally_isolated"]
)
def test_what_is_written_and_read_is_not_in_what_is_written_and_not_read(name):
    u, other, things = unit(1), unit(2), given()
    writers = {role: W + 1e3 * torch.outer(u + other, normal(W.shape[1], seed=3)) for role, W in
               things.weights.block(1).writers.items()}  # fmt: skip
    planted = with_block(things, 1, writers=writers).weights.view
    loud = replace(planted, unembedding=planted.unembedding + 1e4 * torch.outer(normal(258, seed=5), u))
    found = Activations(things.sites, Weights(loud, CORRECTED))
    assert held(name, found, u, k=4) < 0.05
    assert held(name, found, torch.nn.functional.normalize(other - (other @ u) * u, dim=0), k=4) > 0.4


def test_what_attention_writes_is_read_by_the_same_blocks_mlp():
    u, things = unit(), given()
    block = things.weights.block(1)
    writers = {role: W + 1e3 * torch.outer(u, normal(W.shape[1], seed=3)) for role, W in block.writers.items()}
    readers = {**block.readers, "up": block.readers["up"] + 1e3 * torch.outer(normal(64, seed=4), u)}
    planted = with_block(things, 1, writers=writers, readers=readers)
    assert held("write_not_downstream_read", planted, u) < 0.1
    legacy = Activations(things.sites, Weights(planted.weights.view, LEGACY))
    assert held("write_not_downstream_read", legacy, u) > 0.9


@pytest.mark.parametrize("name", ["diff_in_means", "TaskDiff_contrast", "attn_min_taskdiff", "attn_max_taskdiff",
                                  "attn_diff_taskdiff", "attn_min_x_diffnorm_taskdiff"])  # fmt: skip
def test_a_planted_contrast_is_found_and_lost_where_the_mean_is_taken_away(name):
    u = unit()
    assert held(name, given(direction=u), u, k=1) > 0.95
    if name in ("TaskDiff_contrast",):
        assert held(name, given(direction=u, switches=LEGACY), u, k=1) < 0.5


@pytest.mark.parametrize("name", ["up_proj_input_contrast", "up_proj_output_written_contrast"])
def test_a_contrast_inside_the_mlp_is_found_in_the_stream(name):
    u, things = unit(), given()
    gain = 1 + normal(32, seed=4).abs()
    block = things.weights.block(1)
    norms = {role: replace(norm, gain=gain) for role, norm in block.norms.items()}
    up_in, up_out = things.sites.up_in.clone(), things.sites.up_out.clone()
    up_in[1, 1] += 50 * gain * u
    down = block.writers["down"]
    up_out[0, 1] += 1e3 * torch.linalg.pinv(down) @ u
    planted = Activations(replace(things.sites, up_in=up_in, up_out=up_out), things.weights)
    assert held(name, with_block(planted, 1, norms=norms), u, k=1) > 0.95


@pytest.mark.parametrize(
    ("name", "field"),
    [
        ("layer_clean_resid_pca", "clean"), ("global_clean_resid_pca", "clean"), ("churn", "clean"),
        ("global_persona_resid_pca", "positive"), ("gate_active_written", "mlp_out"), ("chars_clusters", "clean"),
    ],
)  # fmt: skip
def test_where_activations_vary_is_found(name, field):
    u, things = unit(), given()
    values = getattr(things.sites, field).clone()
    at = 1 if field == "mlp_out" else 2  # the stream has one more, before the first block
    values[at] += 100 * torch.outer(normal(len(values[at]), seed=4), u)
    assert held(name, Activations(replace(things.sites, **{field: values}), things.weights), u, k=1) > 0.9


@pytest.mark.parametrize("name", ["added_features", "amplified", "suppressed"])
def test_steps_along_the_depth_are_found_whatever_the_axes(name):
    """Every block adds u; the first adds v, which the second takes away. A turn of everything turns the basis."""
    u, v, things = unit(1), unit(2), given()
    v = torch.nn.functional.normalize(v - (v @ u) * u, dim=0)
    clean = things.sites.clean[:1].expand(4, -1, -1).clone() + 0.01 * things.sites.clean
    for i in range(1, 4):
        clean[i] += 30 * i * u
    clean[1] += 300 * v
    planted = Activations(replace(things.sites, clean=clean), things.weights)
    assert held(name, planted, v if name == "suppressed" else u, k=2) > 0.9
    turn = torch.linalg.qr(normal(32, 32, seed=3)).Q
    turned = Activations(replace(planted.sites, clean=clean @ turn.T), planted.weights)
    assert held(name, turned, turn @ (v if name == "suppressed" else u), k=2) > 0.9


def test_features_as_published_suppress_what_they_add_and_do_not_amplify():
    added, amplified, suppressed = given().features
    torch.testing.assert_close(suppressed, added - amplified)


def test_a_rotation_is_found_as_whole_planes():
    """The positive persona's activations are turned by 60 degrees in one plane."""
    u, v, things = unit(1), unit(2), given()
    v = torch.nn.functional.normalize(v - (v @ u) * u, dim=0)
    X = normal(12, 2, seed=5) @ torch.stack([u, v])
    angle = torch.tensor(torch.pi / 3)
    turn = torch.eye(32) + (angle.cos() - 1) * (torch.outer(u, u) + torch.outer(v, v))
    turn = turn + angle.sin() * (torch.outer(v, u) - torch.outer(u, v))
    sites = replace(things.sites, negative=X.expand(4, -1, -1), positive=(X @ turn.T).expand(4, -1, -1))
    found = build("rotation_contrast", Activations(sites, things.weights), k=2).Q
    assert float((found.T @ torch.stack([u, v], 1).double()).square().sum()) == pytest.approx(2, abs=1e-3)


def test_what_heads_write_when_they_look_at_the_first_token_is_found():
    things = given()
    block = things.weights.block(1)
    expected = torch.zeros(32)
    h, kv, w = 3, 1, 8
    expected = block.writers["o"][:, h * w : (h + 1) * w] @ (block.readers["v"][kv * w : (kv + 1) * w]
                                                             @ things.sites.first[1])  # fmt: skip
    rows = build("attention_sink", things)
    others = [
        block.writers["o"][:, j * w : (j + 1) * w]
        @ (block.readers["v"][(j // 2) * w : (j // 2 + 1) * w] @ things.sites.first[1])
        for j in range(4)
    ]
    centred = (expected - torch.stack(others).mean(0)).double()
    assert float((rows.Q.T @ centred).norm() / centred.norm()) == pytest.approx(1, abs=1e-5)
    assert rows.Q.shape[1] == 3  # of 4 heads, their mean taken away


def test_products_pair_heads_as_a_loop_over_heads_does():
    things = given()
    block = things.weights.block(1)
    W_o, W_v = block.writers["o"], block.reader("v", folded=True)
    product = sum(W_o[:, h * 8 : h * 8 + 8] @ W_v[(h // 2) * 8 : (h // 2) * 8 + 8] for h in range(4))
    U = torch.linalg.svd(product.double()).U[:, :3]
    assert (build("attn_ov_write", things, k=3).Q.T @ U).square().sum() == pytest.approx(3, abs=1e-5)
    legacy = given(switches=LEGACY)
    assert (build("attn_ov_write", legacy, k=3).Q.T @ U).square().sum() < 2.9


def test_the_gate_is_taken_at_its_mean():
    things = given()
    block, x = things.weights.block(1), things.sites.up_in[0, 1]
    gate = torch.nn.functional.silu(x @ block.readers["gate"].T).mean(0)
    product = block.writers["down"] @ torch.diag(gate) @ block.reader("up", folded=True)
    U = torch.linalg.svd(product.double()).U[:, :3]
    assert (build("gate_kernel", things, k=3).Q.T @ U).square().sum() == pytest.approx(3, abs=1e-5)


def test_without_a_gate_its_hypothesis_does_not_apply_and_the_kernel_is_the_mean_slope():
    things = given("gpt2")
    found = {each.name: each.status for each in built(things.weights, ("weights",), range(3), 4) if each.block == 1}
    assert found.pop("mlp_gate_read") == "not applicable: the model has no gate of its own"
    assert set(found.values()) == {"ok"}
    assert build("gate_kernel", things).Q.shape[1] == K


def test_a_model_without_attention_says_so():
    import tiny

    weights = Weights(residual_view(tiny.model("mamba"), tiny.tokenizer()), CORRECTED)
    found = {each.name: each.status for each in built(weights, ("weights",), (0,), 4)}
    assert found["attn_write"] == "not applicable: the block has no attention heads"
    assert found["qk_circuit"] == "not applicable: the model has no q of its own"


def test_where_all_directions_are_forbidden_nothing_is_left(monkeypatch):
    monkeypatch.setattr("steerdose.subspaces.of_weights.BROAD", 64)
    found = {each.name: each.status for each in built(given().weights, ("weights",), (0,), 4)}
    assert found["write_not_lm_head_read"] == "not applicable: 32 forbidden directions leave too few of 32"


def test_clusters_of_eight_have_seven_directions_and_the_published_eighth_is_rounding():
    things, legacy = given(), given(switches=LEGACY)
    assert build("chars_clusters", things).Q.shape[1] == K
    found = build("chars_clusters", legacy)
    assert found.rank == 7
    assert found.Q.shape[1] == K


def test_a_basis_that_is_narrower_than_asked_for_is_called_collapsed():
    things = given()
    found = {each.name: each for each in built(things, ("activations",), range(3), K) if each.block == 1}
    assert found["diff_in_means"].status == "collapsed: 1 of 8 directions"
    assert found["TaskDiff_contrast"].status == "ok"


def test_one_basis_for_all_blocks_is_made_once():
    calls = []
    things = given().weights
    original = Weights.everything_written.func
    Weights.everything_written.func = lambda self: calls.append(1) or original(self)
    try:
        found = [each.basis for each in built(things, ("weights",), range(3), 4) if each.name == "global_write"]
    finally:
        Weights.everything_written.func = original
    assert len(found) == 3
    assert found[0] is found[2]
    assert calls == [1]


def test_nothing_reads_a_steering():
    before = Steering.n_loaded
    things = given()
    list(built(things.weights, ("weights",), range(3), K))
    list(built(things, ("activations", "both"), range(3), K))
    assert Steering.n_loaded == before


@pytest.mark.parametrize("name", sorted({*HYPOTHESES} - {*OF_WEIGHTS} - WITH_WEIGHTS - RANDOM))
def test_turning_the_stream_turns_activations_bases(name):
    """Rotation invariance, of what is built of activations alone: their span moves with the axes."""
    turn = torch.linalg.qr(normal(32, 32, seed=3).double()).Q
    things = given(direction=unit())
    turned = replace(things.sites, **{
        field: (getattr(things.sites, field).double() @ turn.T)
        for field in ("clean", "positive", "negative", "differences", "mlp_out")
    })  # fmt: skip
    one, other = build(name, things, k=4).Q, build(name, Activations(turned, things.weights), k=4).Q
    assert (one.T @ turn.T @ other).square().sum() == pytest.approx(one.shape[1], abs=1e-3)


def numpy_twin(name, things, i, k):
    """The published formulas written out by hand, for a model of the published shape."""
    view, sites = things.weights.view, things.sites
    blocks = [{**{r: W.double().numpy() for r, W in b.readers.items()},
               **{r: W.double().numpy() for r, W in b.writers.items()}} for b in view.blocks]  # fmt: skip
    W = blocks[i]
    head = view.unembedding.double().numpy()
    left = lambda M: np.linalg.svd(M)[0][:, :k]  # noqa: E731
    right = lambda M: np.linalg.svd(M)[2][:k].T  # noqa: E731

    def pca(X):
        return right(X - X.mean(0))

    readers = [np.vstack([b[r] for r in ("q", "k", "v", "up", "gate")]) for b in blocks]
    broad = np.linalg.eigh(sum(R.T @ R for R in readers) + head.T @ head)[1]
    C = np.concatenate([np.asarray(sites.clean[j + 1]) for j in range(3)])
    clean, contrast = sites.clean.numpy(), (sites.positive - sites.negative).numpy()
    size = np.abs(clean[1:])
    silu = lambda g: g / (1 + np.exp(-g))  # noqa: E731
    expand = lambda M: np.repeat(M, 2, axis=0)  # noqa: E731 (rows, as published)
    kernel = silu(sites.up_in[0, i].double().numpy() @ W["gate"].T).mean(0)
    weight = np.minimum(*sites.attention[:, i].numpy())
    return {
        "lm_head_read": lambda: right(head),
        "global_read": lambda: broad[:, -k:],
        "global_write": lambda: left(np.hstack([b[r] for b in blocks for r in ("o", "down")])),
        "write": lambda: left(np.hstack([W["o"], W["down"]])),
        "attn_qkv_read": lambda: right(np.vstack([W["q"], W["k"], W["v"]])),
        "attn_ov_write": lambda: left(W["o"] @ expand(W["v"])),
        "qk_circuit": lambda: left(W["q"].T @ expand(W["k"])),
        "mlp_roundtrip_write": lambda: left(W["down"] @ W["up"]),
        "gate_kernel": lambda: left(W["down"] @ np.diag(kernel) @ W["up"]),
        "suppressed": lambda: pca(np.minimum(np.maximum(np.diff(size, axis=0), 0).sum(0),
                                             np.maximum(-np.diff(size, axis=0), 0).sum(0))),
        "amplified": lambda: pca(np.maximum(size[-1] - size[0], 0)),
        "global_clean_resid_pca": lambda: pca(C),
        "TaskDiff_contrast": lambda: pca(contrast[i + 1]),
        "churn": lambda: pca(clean[i + 2] - clean[i + 1]),
        "attn_min_taskdiff": lambda: pca(sites.differences[i].numpy() * np.sqrt(weight)[:, None]),
        "up_proj_output_written_contrast": lambda: pca(
            (sites.up_out[0, i] - sites.up_out[1, i]).double().numpy() @ W["down"].T),
    }[name]()  # fmt: skip


@pytest.mark.parametrize("name", [
    "lm_head_read", "global_read", "global_write", "write", "attn_qkv_read", "attn_ov_write", "qk_circuit",
    "mlp_roundtrip_write", "gate_kernel", "suppressed", "amplified", "global_clean_resid_pca", "TaskDiff_contrast",
    "churn", "attn_min_taskdiff", "up_proj_output_written_contrast",
])  # fmt: skip
def test_legacy_agrees_with_the_published_formulas_written_out(name):
    things = given(switches=LEGACY)
    found, expected = build(name, things, k=3).Q.numpy(), numpy_twin(name, things, 1, 3)
    assert np.square(found.T @ expected).sum() == pytest.approx(3, abs=1e-4)


def test_random_weights_hold_a_direction_no_better_than_chance():
    """A control of the tests above: none of the bases is so wide that it holds anything."""
    things = given()
    Q = orthonormal(normal(32, 4, seed=5))
    for name in OF_WEIGHTS:
        found = build(name, things, k=4).Q
        assert float((found.T @ Q).square().sum()) < 2.5
