"""Batched, packed rollouts against the obvious script, on several architectures."""

from dataclasses import replace
from functools import partial

import pytest
import tiny
import torch
import transformers
from reference.rollout import roll_out_one, steered_copy, textbook_kl
from steerdose.engine.fork_grid import fork_times
from steerdose.engine.generate import Request, kl_divergence, roll_out
from steerdose.engine.probe import READINGS, ForkPlan, Probe
from steerdose.engine.rows import count_shared
from steerdose.errors import NonFiniteLogitsError, SteerdoseError
from steerdose.model.architecture import find_blocks, is_cacheable
from steerdose.steering.edits import Add, LowRank
from steerdose.steering.steering import Steering

END = frozenset([0])
PROBES = {  # two lengths of suffix, and one that depends on the text
    "short": Probe(suffix=(1, 40, 41), first=(50, 51), second=(60,)),
    "long": Probe(
        suffix=(9, 8, 7, 6, 5), first=(70,), second=(80, 81), in_thought=(33, 9, 8, 7, 6, 5, 4),
        is_thinking=lambda ids: sum(ids) % 2 == 0,
    ),
}  # fmt: skip
PROMPTS = [(5, 9, 17), (30, 31, 32, 33, 34, 35, 36), (100, 20)]


def direction(model, seed=1):
    v = torch.randn(32, generator=torch.Generator().manual_seed(seed))
    return Steering("direction", ((find_blocks(model)[1], Add(v / v.norm())),), {})


def low_rank(model, module):
    generator = torch.Generator().manual_seed(2)
    weight = dict(model.named_modules())[module].weight
    rows, columns = weight.shape if type(dict(model.named_modules())[module]).__name__ != "Conv1D" else weight.T.shape
    edit = LowRank(A=torch.randn(3, columns, generator=generator), B=0.1 * torch.randn(rows, 3, generator=generator))
    return Steering("low_rank", ((module, edit),), {})


def requests(coefficients, prompts=PROMPTS):
    return [Request(f"p{i}", ids, c) for i, ids in enumerate(prompts) for c in coefficients]


def assert_same(model, steering, wanted, window, times, rollouts, end_ids=END):
    for request, rollout in zip(wanted, rollouts, strict=True):
        steered = steered_copy(model, steering, request.coefficient) if steering else model
        base_ids = None if request.base_ids is None else list(request.base_ids)
        expected, forks = roll_out_one(model, steered, list(request.ids), window, end_ids, PROBES, times, base_ids)
        assert rollout.token_ids == expected.token_ids
        assert rollout.ended == expected.ended
        assert rollout.kl == pytest.approx(expected.kl, abs=1e-4)
        assert [(f.probe, f.reading, f.t) for f in rollout.forks] == [fork[:3] for fork in forks]
        assert [f.pmass for f in rollout.forks] == pytest.approx([pmass for *_, pmass, _ in forks], abs=1e-4)
        assert [f.p_first for f in rollout.forks] == pytest.approx([p for *_, p in forks], abs=1e-3)


@pytest.mark.parametrize("kind", ["llama", "gpt2", "gpt_neox", "mistral", "gemma3", "mamba"])
def test_equals_the_reference_on_every_architecture(kind):
    """mistral and gemma3 have windows of 8 tokens, shorter than the rollout; mamba takes the path without a cache."""
    model, window, times = tiny.model(kind), 24, fork_times(24, count=6)
    steering, wanted = direction(model), requests([0.0, 1.0, -2.0])
    rollouts = roll_out(model, steering, wanted, window=window, end_ids=END, batch_size=4, plan=ForkPlan(PROBES, times))
    assert_same(model, steering, wanted, window, times, rollouts)
    assert any(kl > 0.01 for rollout in rollouts for kl in rollout.kl), "the steering must do something"


@pytest.mark.parametrize(
    ("kind", "module"), [("llama", "model.layers.1.mlp.down_proj"), ("gpt2", "transformer.h.1.mlp.c_fc")]
)
def test_a_weight_delta_on_the_side_equals_merged_weights(kind, module):
    model, times = tiny.model(kind), [0, 3, 12]
    steering, wanted = low_rank(model, module), requests([0.0, 0.7])
    rollouts = roll_out(model, steering, wanted, window=12, end_ids=END, batch_size=9, plan=ForkPlan(PROBES, times))
    assert_same(model, steering, wanted, 12, times, rollouts)


@pytest.mark.parametrize("place", ["first block", "last block", "embedding"])
def test_twins_share_the_blocks_below_the_first_edit_wherever_that_is(place):
    model = tiny.model()
    embedding = next(path for path, module in model.named_modules() if module is model.get_input_embeddings())
    first, _, last = find_blocks(model)
    path, shared = {"first block": (first, 0), "last block": (last, 2), "embedding": (embedding, 0)}[place]
    steering = Steering("two", ((path, direction(model).edits[0][1]), (last, Add(torch.ones(32)))), {})
    assert count_shared(model, steering) == shared
    wanted, times = requests([0.0, 0.4, -1.0]), [0, 5, 16]
    rollouts = roll_out(model, steering, wanted, window=16, end_ids=END, batch_size=9, plan=ForkPlan(PROBES, times))
    assert_same(model, steering, wanted, 16, times, rollouts)


def test_the_plain_path_is_greedy_whatever_settings_come_with_the_model():
    model, run = tiny.model("mamba"), partial(roll_out, steering=None, window=12, end_ids=END, batch_size=3)
    expected = [rollout.token_ids for rollout in run(model, requests=requests([0.0]))]
    model.generation_config.update(repetition_penalty=5.0, suppress_tokens=list(range(100)), num_beams=3)
    assert [rollout.token_ids for rollout in run(model, requests=requests([0.0]))] == expected


def test_an_alibi_model_is_rolled_out_plainly_and_right():
    """Its distances count cache slots, so padded and packed rows would read wrong ones."""
    config = transformers.FalconConfig(
        vocab_size=258, hidden_size=32, num_hidden_layers=3, num_attention_heads=4, alibi=True, bos_token_id=0,
        eos_token_id=0, initializer_range=0.3, new_decoder_architecture=False,
    )  # fmt: skip
    torch.manual_seed(0)
    model = transformers.AutoModelForCausalLM.from_config(config).eval()
    assert not is_cacheable(model)
    steering, wanted, times = direction(model), requests([0.0, 1.0]), [0, 8]
    rollouts = roll_out(model, steering, wanted, window=8, end_ids=END, batch_size=6, plan=ForkPlan(PROBES, times))
    assert_same(model, steering, wanted, 8, times, rollouts)


def test_rows_that_end_leave_the_batch_and_nothing_else_changes():
    model = tiny.model()
    steering, wanted = direction(model), requests([0.0, 0.5, 1.0, 2.0])
    free = roll_out(model, steering, wanted, window=20, end_ids=END, batch_size=12)
    common = common_token(free)
    ending = frozenset([0, common])
    times = fork_times(20, every=5)
    rollouts = roll_out(model, steering, wanted, window=20, end_ids=ending, batch_size=12, plan=ForkPlan(PROBES, times))
    assert len({len(rollout.token_ids) for rollout in rollouts if rollout.ended}) > 1
    for whole, rollout in zip(free, rollouts, strict=True):
        n = len(rollout.token_ids)
        assert rollout.token_ids == whole.token_ids[:n]
        assert rollout.kl == pytest.approx(whole.kl[:n], abs=1e-5)
        assert [fork.t for fork in rollout.forks] == 4 * [t for t in times if t <= n]
        if rollout.ended:
            assert n == len(whole.token_ids) or whole.token_ids[n] == common


def common_token(rollouts):
    """A token that some rollouts reach after a while: made an end token, they end at different times."""
    tokens = [t for rollout in rollouts for t in rollout.token_ids]
    return max((t for rollout in rollouts for t in rollout.token_ids[3:12]), key=tokens.count)


@pytest.mark.parametrize("steered", [False, True], ids=["prompts alone", "prompts and doses"])
@pytest.mark.parametrize("kind", ["llama", "gpt2", "mistral", "gemma3", "mamba"])
def test_a_twin_with_its_own_prompt_equals_the_reference(kind, steered):
    """Longer and shorter base prompts, beside rows with the same prompt; rows end and leave the batch."""
    model, window, times = tiny.model(kind), 20, fork_times(20, every=5)
    steering = direction(model) if steered else None
    systems = [(7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 18), (40,), ()]
    wanted = [
        Request(f"p{i}{j}", (*system, *ids), c, base_ids=ids if system else None)
        for i, ids in enumerate(PROMPTS)
        for j, system in enumerate(systems)
        for c in ([0.0, 1.0] if steered else [0.0])
    ]
    wanted += [Request("longer base", PROMPTS[0], 0.0, base_ids=(*systems[0], *PROMPTS[0]))]
    free = roll_out(model, steering, wanted, window=window, end_ids=END, batch_size=7)
    ending = frozenset([0, common_token(free)])
    rollouts = roll_out(
        model, steering, wanted, window=window, end_ids=ending, batch_size=7, plan=ForkPlan(PROBES, times)
    )
    assert len({len(rollout.token_ids) for rollout in rollouts}) > 1
    assert_same(model, steering, wanted, window, times, rollouts, ending)
    for request, rollout in zip(wanted, rollouts, strict=True):
        assert (max(rollout.kl, default=0) > 0) == (request.has_twin and len(rollout.kl) > 0)


def test_a_twin_with_the_same_prompt_spelled_out_has_a_kl_of_0():
    model = tiny.model()
    wanted = [Request(f"p{i}", ids, 0.0, base_ids=ids) for i, ids in enumerate(PROMPTS)]
    for rollout in roll_out(model, None, wanted, window=16, end_ids=END, batch_size=3):
        assert rollout.kl == pytest.approx([0] * 16, abs=1e-6)


@pytest.mark.parametrize("batch_size", [1, 2, 5, 100])
def test_batch_composition_does_not_matter(batch_size):
    model = tiny.model()
    steering, wanted, times = direction(model), requests([0.0, 1.0, 3.0]), [0, 4, 16]
    one = roll_out(model, steering, wanted, window=16, end_ids=END, batch_size=12, plan=ForkPlan(PROBES, times))
    other = roll_out(
        model, steering, wanted[::-1], window=16, end_ids=END, batch_size=batch_size, plan=ForkPlan(PROBES, times)
    )
    for a, b in zip(one, other[::-1], strict=True):
        assert a.token_ids == b.token_ids
        assert a.kl == pytest.approx(b.kl, abs=1e-5)
        assert [f.pmass for f in a.forks] == pytest.approx([f.pmass for f in b.forks], abs=1e-6)
        assert [replace(f, pmass=0, p_first=0) for f in a.forks] == [replace(f, pmass=0, p_first=0) for f in b.forks]


@pytest.mark.parametrize("kind", ["llama", "mamba"])
def test_who_reads_what_where_there_is_no_twin_and_where_there_is(kind):
    """Without a twin both readings are the same, with one both see the same tokens; one reading less changes none."""
    model, times = tiny.model(kind), [0, 5, 16]
    run = partial(roll_out, model, direction(model), requests([0.0, 1.0]), window=16, end_ids=END, batch_size=5)
    both, alone = (run(plan=ForkPlan(PROBES, times, readings)) for readings in (READINGS, READINGS[:1]))
    for i, (rollout, other) in enumerate(zip(both, alone, strict=True)):
        steered, unsteered = ([f for f in rollout.forks if f.reading == reading] for reading in READINGS)
        assert [f.pmass for f in steered] == pytest.approx([f.pmass for f in other.forks], abs=1e-6)
        assert {f.reading for f in other.forks} == {"steered"}
        same = [replace(f, reading="unsteered") for f in steered] == unsteered
        assert same == (i % 2 == 0)
    assert [f.pmass for f in both[1].forks if f.reading == "unsteered" and f.t == 0] == pytest.approx(
        [f.pmass for f in both[0].forks if f.reading == "unsteered" and f.t == 0], abs=1e-6
    )


def test_at_coefficient_0_the_kl_is_exactly_0_and_the_path_is_the_unsteered_one():
    model = tiny.model()
    wanted = requests([0.0])
    alone = roll_out(model, None, wanted, window=16, end_ids=END, batch_size=3)
    mixed = roll_out(model, direction(model), requests([0.0, 2.0]), window=16, end_ids=END, batch_size=6)[::2]
    for a, b in zip(alone, mixed, strict=True):
        assert a.token_ids == b.token_ids
        assert set(b.kl) == {0.0}


def test_a_non_finite_logit_names_prompt_dose_and_token():
    model = tiny.model()
    broken = Steering("broken", ((find_blocks(model)[1], Add(torch.full((32,), 3e38))),), {})
    with pytest.raises(
        NonFiniteLogitsError, match=r"prompt 'p0' at token 1 \(coefficient 10 \(alpha 4\)\).*lower the dose"
    ):
        roll_out(model, broken, [Request("p0", (5, 9), 10.0, "(alpha 4)")], window=4, end_ids=END, batch_size=1)


@pytest.mark.parametrize("coefficient", [0.0, 1.0])
def test_an_unsteered_model_that_overflows_is_not_taken_for_too_strong_a_dose(coefficient):
    model = tiny.model()
    model.lm_head.weight.data[0] = torch.inf
    with pytest.raises(SteerdoseError) as caught:
        roll_out(model, direction(model), [Request("p0", (5, 9), coefficient)], window=4, end_ids=END, batch_size=1)
    assert not isinstance(caught.value, NonFiniteLogitsError)


def test_kl_divergence_is_the_textbook_sum_and_survives_ruled_out_tokens():
    generator = torch.Generator().manual_seed(0)
    steered, base = (4 * torch.randn(11, 300, generator=generator) for _ in range(2))
    torch.testing.assert_close(kl_divergence(steered, base), textbook_kl(steered, base), atol=1e-5, rtol=1e-5)
    assert kl_divergence(steered, steered).eq(0).all()
    kept = [i for i in range(300) if i != 7]
    steered[:, 7] = base[:, 7] = -torch.inf
    expected = textbook_kl(steered[:, kept], base[:, kept])
    torch.testing.assert_close(kl_divergence(steered, base), expected, atol=1e-5, rtol=1e-5)


def test_kl_divergence_keeps_its_digits_over_a_large_vocabulary():
    generator = torch.Generator().manual_seed(0)
    steered, base = (3 * torch.randn(4, 50_000, generator=generator) for _ in range(2))
    exact = textbook_kl(steered.double(), base.double())
    torch.testing.assert_close(kl_divergence(steered, base).double(), exact, atol=0, rtol=3e-6)


def test_the_fork_grid_is_the_published_one_and_refuses_a_window_of_0():
    assert fork_times(512, count=14) == [0, 1, 2, 3, 5, 8, 13, 23, 38, 64, 108, 181, 304, 512]
    assert fork_times(10, every=4) == [0, 4, 8, 10]
    assert fork_times(1, count=10) == [0, 1]
    with pytest.raises(SteerdoseError, match="rollout.window must be at least 1"):
        fork_times(0, count=3)
