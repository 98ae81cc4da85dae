"""Captures, labels and the sweep on tiny models, with planted deltas."""

import pytest
import tiny
import torch
from steerdose.errors import SteerdoseError
from steerdose.model.residual import residual_view
from steerdose.steering.edits import Dense, LowRank
from steerdose.steering.steering import Steering
from steerdose.study.subspaces import LEGACY, Switches
from steerdose.subspaces import of_attention  # noqa: F401 (registers)
from steerdose.subspaces.captures import compared, sites_of
from steerdose.subspaces.labels import labels_of, of_weights
from steerdose.subspaces.linear import Basis, orthonormal
from steerdose.subspaces.of_activations import Activations
from steerdose.subspaces.of_weights import Weights
from steerdose.subspaces.registry import Built, built
from steerdose.subspaces.scores import effective_dimension, recovery
from steerdose.subspaces.sweep import swept
from subspace_examples import normal

KINDS = ("llama", "gpt2", "gpt_neox", "gemma3")
TAIL = [1, 9, 8]


def prompts(start):
    texts = [[30, 31, 32], [40, 41], [50, 51, 52, 53]]
    return [[*start, 1, 7, *text, *TAIL] for text in texts]


CLEAN, POSITIVE, NEGATIVE = prompts([2]), prompts([2, 60, 61]), prompts([2, 70, 71, 72, 73])


def captured(kind, *, common_suffix=True):
    loaded = tiny.loaded(kind)
    view = residual_view(loaded.model, loaded.tokenizer)
    return loaded, view, sites_of(loaded, view, CLEAN, POSITIVE, NEGATIVE, common_suffix=common_suffix)


@pytest.mark.parametrize("kind", KINDS)
def test_the_stream_is_what_the_model_calls_hidden_states(kind):
    """But for the last block, whose hidden state has the final norm behind it."""
    loaded, _, sites = captured(kind)
    with torch.inference_mode():
        for i, ids in enumerate(CLEAN):
            states = loaded.model(torch.tensor([ids]), output_hidden_states=True).hidden_states
            for at in range(3):
                torch.testing.assert_close(sites.clean[at, i], states[at][0, -1], rtol=1e-5, atol=1e-5)
            assert (sites.clean[3, i] - states[3][0, -1]).abs().max() > 1e-2


def test_what_is_captured_of_one_prompt_does_not_hang_on_the_others():
    loaded, view, sites = captured("llama")
    alone = sites_of(loaded, view, CLEAN[1:2], POSITIVE[1:2], NEGATIVE[1:2], common_suffix=True)
    torch.testing.assert_close(alone.positive[:, 0], sites.positive[:, 1])
    torch.testing.assert_close(alone.up_in[:, :, 0], sites.up_in[:, :, 1])
    torch.testing.assert_close(alone.mlp_out[:, 0], sites.mlp_out[:, 1])


def test_of_two_personas_the_users_own_words_are_compared():
    positions = compared(POSITIVE, NEGATIVE, common_suffix=True)
    for (one, other), a, b in zip(positions, POSITIVE, NEGATIVE, strict=True):
        assert [a[i] for i in one] == [b[i] for i in other] == a[5:-3]
    aligned = compared(POSITIVE, NEGATIVE, common_suffix=False)
    assert {len(side) for pair in aligned for side in pair} == {max(map(len, NEGATIVE))}
    assert aligned[1][0][:4] == [None] * 4


def test_one_side_only_tokens_are_compared_with_zeros_as_published():
    _, _, sites = captured("llama", common_suffix=False)
    most = max(map(len, NEGATIVE))
    assert sites.differences.shape[1] == 3 * most
    own = sites.attention[:, :, 2 * most : 2 * most + 2]  # of the longest text, whose positive side is shorter
    assert not own[0].any()
    assert own[1].all()
    assert sites.differences[:, 2 * most].norm() > 0


def test_prompts_that_end_in_other_tokens_are_refused():
    loaded = tiny.loaded("llama")
    view = residual_view(loaded.model, loaded.tokenizer)
    with pytest.raises(SteerdoseError, match="end in different tokens"):
        sites_of(loaded, view, [[1, 2, 3]], POSITIVE[:1], NEGATIVE[:1], common_suffix=True)


def test_a_model_without_attention_is_captured_all_the_same():
    _, _, sites = captured("mamba")
    assert sites.attention.numel() == 0
    assert sites.clean.shape == (4, 3, 32)


def planted(view, block, u, size=0.3, *, reading):
    """Return a delta that writes u from the down layer of one block, and one that reads u at its up layer."""
    down, up = view.blocks[block].sources["down"][0], view.blocks[block].sources["up"][0]
    gain = view.blocks[block].norms["up"].gain
    edits = (
        (down, LowRank(A=normal(1, 64, seed=1), B=size * u[:, None])),
        (up, LowRank(A=(u / gain)[None], B=size * normal(64, 1, seed=2))),
    )
    return Steering("planted", edits[: 2 if reading else 1], {})


def swept_rows(switches=None, block=1, *, reading=True):
    loaded, view, sites = captured("llama")
    u = torch.nn.functional.normalize(normal(32, seed=5), dim=0)
    labels = labels_of(loaded, view, planted(view, block, u, reading=reading), (1.0, -1.0), CLEAN, batch_size=4)
    given = Activations(sites, Weights(view, switches or Switches()))
    bases = [*built(given.weights, ("weights",), range(3), 4), *built(given, ("activations", "both"), range(3), 4)]
    Q = orthonormal(torch.stack([u, normal(32, seed=6)], 1))
    bases = [b for b in bases if (b.name, b.block) != ("write", block)]
    bases.append(Built("write", block, Basis(Q, torch.ones(2)), "ok"))
    return list(swept(bases, labels, (0, 1, 2), (1, 2, 4)))


def test_a_planted_direction_is_recovered_in_full_in_its_block_and_is_no_label_before():
    rows = swept_rows(reading=False)
    own = {(row["target"], row["width"]): row for row in rows if row["subspace"] == "write" and row["block"] == 1}
    for target in ("step", "down", "written"):
        assert own[target, 1]["recovery"] == pytest.approx(32, rel=0.02), target
        assert own[target, 2]["recovery"] == pytest.approx(16, rel=0.02)
        assert own[target, 1]["excess"] == pytest.approx(1, abs=0.02)
    assert own["stream", 1]["recovery"] == pytest.approx(own["step", 1]["recovery"])  # nothing before it
    assert not {("o", 1), ("read", 1)} & own.keys()
    reads = [row for row in swept_rows() if row["subspace"] == "write" and row.get("target") == "read"]
    assert [row["recovery"] for row in reads if row["width"] == 1] == [pytest.approx(32, rel=1e-4)]
    first = [row for row in rows if row["block"] == 0]
    assert {row["status"] for row in first} <= {"no label", *(r["status"] for r in first if "target" not in r)}
    assert not any("recovery" in row for row in first)


def test_no_basis_is_better_than_the_best_of_its_width_and_chance_is_about_one():
    rows = [row for row in swept_rows() if "best" in row]
    assert all(row["recovery"] <= row["best"] * (1 + 1e-6) for row in rows)
    others = [row["recovery"] for row in rows if row["subspace"] != "write" and row["target"] == "down"]
    assert 0.2 < sum(others) / len(others) < 4


def test_an_edit_of_outputs_has_no_weights_to_recover():
    from steerdose.steering.edits import Add

    loaded, view, _ = captured("llama")
    steering = Steering("mean_diff", ((view.paths[1], Add(normal(32, seed=1))),), {})
    assert of_weights(loaded, view, steering, exact=True) == [{}, {}, {}]


@pytest.mark.parametrize("kind", ["gpt2", "gpt_neox"])
def test_of_a_fused_layer_each_role_has_its_own_rows(kind):
    """A delta of the value rows alone: what is read is what the values read."""
    loaded, view, _ = captured(kind)
    path, rows = view.blocks[1].sources["v"]
    u = torch.nn.functional.normalize(normal(32, seed=5), dim=0)
    dW = torch.zeros(96, 32)
    dW[rows] = torch.outer(normal(32, seed=1), u / view.blocks[1].norms["v"].gain)
    found = of_weights(loaded, view, Steering("x", ((path, Dense(dW)),), {}), exact=True)
    assert recovery(found[1]["read"], u[:, None]) == pytest.approx(32, rel=1e-4)


def test_rounding_of_the_weights_spreads_a_delta_over_all_directions():
    """The published delta was formed after rounding: its effective dimension exceeds its rank."""
    loaded, view, _ = captured("llama")
    down = view.blocks[1].sources["down"][0]
    steering = Steering("x", ((down, LowRank(A=1e-3 * normal(2, 64, seed=1), B=normal(32, 2, seed=2))),), {})
    exact, rounded = (of_weights(loaded, view, steering, exact=each)[1]["down"] for each in (True, False))
    assert effective_dimension(exact) <= 2
    assert effective_dimension(rounded) > 2


def test_both_modes_run_to_the_end():
    for switches in (Switches(), LEGACY):
        rows = swept_rows(switches)
        assert len({row["subspace"] for row in rows}) == 43
