"""Batched, packed rollouts against the obvious script, on several architectures."""

from dataclasses import replace
from functools import partial

import pytest
import tiny
import torch
import transformers
from engine_examples import END, PROBES, PROMPTS, direction, low_rank
from reference.rollout import generate_one, steered_copy, textbook_kl
from steerdose.engine.divergence import divergence, divergence_from
from steerdose.engine.fork_grid import fork_times
from steerdose.engine.generate import generate
from steerdose.engine.probe import READINGS, ForkPlan
from steerdose.engine.requests import Request
from steerdose.engine.rows import count_shared
from steerdose.errors import NonFiniteLogitsError, SteerdoseError
from steerdose.model.architecture import find_blocks, is_cacheable
from steerdose.model.loading import LoadedModel
from steerdose.steering.edits import Add
from steerdose.steering.intervention import Intervention
from steerdose.steering.steering import Steering
from steerdose.study.blocks import blocks


def requests(steering, coefficients, prompts=PROMPTS):
    return [Request(f"p{i}", ids, Intervention(steering, c)) for i, ids in enumerate(prompts) for c in coefficients]


def assert_same(model, wanted, window, times, trajectories, end_ids=END):
    for request, trajectory in zip(wanted, trajectories, strict=True):
        what = request.intervention
        steered = steered_copy(model, what.steering, what.coefficient) if what.steering else model
        base_ids = None if request.base_ids is None else list(request.base_ids)
        expected, forks = generate_one(model, steered, list(request.ids), window, end_ids, PROBES, times, base_ids)
        assert trajectory.token_ids == expected.token_ids
        assert trajectory.ended == expected.ended
        assert trajectory.kl == pytest.approx(expected.kl, abs=1e-4)
        assert [(f.probe, f.reading, f.t) for f in trajectory.forks] == [fork[:3] for fork in forks]
        assert [f.pmass for f in trajectory.forks] == pytest.approx([pmass for *_, pmass, _ in forks], abs=1e-4)
        assert [f.p_first for f in trajectory.forks] == pytest.approx([p for *_, p in forks], abs=1e-3)


@pytest.mark.parametrize("kind", tiny.CONFIGS)
def test_equals_the_reference_on_every_architecture(kind):
    """Sliding windows have 8 tokens, fewer than the texts; mamba and hybrids take the path without a cache."""
    loaded, window, times = tiny.loaded(kind), 24, fork_times(24, count=6)
    wanted = requests(direction(loaded.model), [0.0, 1.0, -2.0])
    trajectories = generate(loaded, wanted, window=window, end_ids=END, batch_size=4, plan=ForkPlan(PROBES, times))
    assert_same(loaded.model, wanted, window, times, trajectories)
    assert any(kl > 0.01 for trajectory in trajectories for kl in trajectory.kl), "the steering must do something"


@pytest.mark.parametrize(
    ("kind", "module"), [("llama", "model.layers.1.mlp.down_proj"), ("gpt2", "transformer.h.1.mlp.c_fc")]
)
def test_a_weight_delta_on_the_side_equals_merged_weights(kind, module):
    loaded, times = tiny.loaded(kind), [0, 3, 12]
    wanted = requests(low_rank(loaded.model, module), [0.0, 0.7])
    trajectories = generate(loaded, wanted, window=12, end_ids=END, batch_size=9, plan=ForkPlan(PROBES, times))
    assert_same(loaded.model, wanted, 12, times, trajectories)


@pytest.mark.parametrize("place", ["first block", "last block", "embedding"])
def test_twins_share_the_blocks_below_the_first_edit_wherever_that_is(place):
    loaded = tiny.loaded()
    model = loaded.model
    embedding = next(path for path, module in model.named_modules() if module is model.get_input_embeddings())
    first, _, last = find_blocks(model)
    path, shared = {"first block": (first, 0), "last block": (last, 2), "embedding": (embedding, 0)}[place]
    steering = Steering("two", ((path, direction(model).edits[0][1]), (last, Add(torch.ones(32)))), {})
    assert count_shared(model, [steering]) == shared
    wanted, times = requests(steering, [0.0, 0.4, -1.0]), [0, 5, 16]
    trajectories = generate(loaded, wanted, window=16, end_ids=END, batch_size=9, plan=ForkPlan(PROBES, times))
    assert_same(loaded.model, wanted, 16, times, trajectories)


def test_an_alibi_model_is_rolled_out_plainly_and_right():
    """Its distances count cache slots, so padded and packed rows would read wrong ones."""
    config = transformers.FalconConfig(
        vocab_size=258, hidden_size=32, num_hidden_layers=3, num_attention_heads=4, alibi=True, bos_token_id=0,
        eos_token_id=0, initializer_range=0.3, new_decoder_architecture=False,
    )  # fmt: skip
    torch.manual_seed(0)
    loaded = LoadedModel(transformers.AutoModelForCausalLM.from_config(config).eval(), tiny.tokenizer(), "0")
    assert not is_cacheable(loaded.model)
    wanted, times = requests(direction(loaded.model), [0.0, 1.0]), [0, 8]
    trajectories = generate(loaded, wanted, window=8, end_ids=END, batch_size=6, plan=ForkPlan(PROBES, times))
    assert_same(loaded.model, wanted, 8, times, trajectories)


def test_rows_that_end_leave_the_batch_and_nothing_else_changes():
    loaded = tiny.loaded()
    wanted = requests(direction(loaded.model), [0.0, 0.5, 1.0, 2.0])
    free = generate(loaded, wanted, window=20, end_ids=END, batch_size=12)
    common = common_token(free)
    ending = frozenset([0, common])
    times = fork_times(20, every=5)
    trajectories = generate(loaded, wanted, window=20, end_ids=ending, batch_size=12, plan=ForkPlan(PROBES, times))
    assert len({len(trajectory.token_ids) for trajectory in trajectories if trajectory.ended}) > 1
    for whole, trajectory in zip(free, trajectories, strict=True):
        n = len(trajectory.token_ids)
        assert trajectory.token_ids == whole.token_ids[:n]
        assert trajectory.kl == pytest.approx(whole.kl[:n], abs=1e-5)
        assert [fork.t for fork in trajectory.forks] == 4 * [t for t in times if t <= n]
        if trajectory.ended:
            assert n == len(whole.token_ids) or whole.token_ids[n] == common


def common_token(trajectories):
    """A token that some trajectories reach after a while: made an end token, they end at different times."""
    tokens = [t for trajectory in trajectories for t in trajectory.token_ids]
    return max((t for trajectory in trajectories for t in trajectory.token_ids[3:12]), key=tokens.count)


@pytest.mark.parametrize("steered", [False, True], ids=["prompts alone", "prompts and doses"])
@pytest.mark.parametrize("kind", ["llama", "gpt2", "mistral", "gemma3", "mamba"])
def test_a_twin_with_its_own_prompt_equals_the_reference(kind, steered):
    """Longer and shorter base prompts, beside rows with the same prompt; rows end and leave the batch."""
    loaded, window, times = tiny.loaded(kind), 20, fork_times(20, every=5)
    steering = direction(loaded.model) if steered else None
    systems = [(7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 18), (40,), ()]
    wanted = [
        Request(f"p{i}{j}", (*system, *ids), Intervention(steering, c), base_ids=ids if system else None)
        for i, ids in enumerate(PROMPTS)
        for j, system in enumerate(systems)
        for c in ([0.0, 1.0] if steered else [0.0])
    ]
    wanted += [Request("longer base", PROMPTS[0], base_ids=(*systems[0], *PROMPTS[0]))]
    free = generate(loaded, wanted, window=window, end_ids=END, batch_size=7)
    ending = frozenset([0, common_token(free)])
    trajectories = generate(loaded, wanted, window=window, end_ids=ending, batch_size=7, plan=ForkPlan(PROBES, times))
    assert len({len(trajectory.token_ids) for trajectory in trajectories}) > 1
    assert_same(loaded.model, wanted, window, times, trajectories, ending)
    for request, trajectory in zip(wanted, trajectories, strict=True):
        assert (max(trajectory.kl, default=0) > 0) == (request.has_twin and len(trajectory.kl) > 0)


def test_a_twin_with_the_same_prompt_spelled_out_has_a_kl_of_0():
    wanted = [Request(f"p{i}", ids, base_ids=ids) for i, ids in enumerate(PROMPTS)]
    for trajectory in generate(tiny.loaded(), wanted, window=16, end_ids=END, batch_size=3):
        assert trajectory.kl == pytest.approx([0] * 16, abs=1e-6)


@pytest.mark.parametrize("batch_size", [1, 2, 5, 100])
def test_batch_composition_does_not_matter(batch_size):
    loaded, plan = tiny.loaded(), ForkPlan(PROBES, [0, 4, 16])
    wanted = requests(direction(loaded.model), [0.0, 1.0, 3.0])
    one = generate(loaded, wanted, window=16, end_ids=END, batch_size=12, plan=plan)
    other = generate(loaded, wanted[::-1], window=16, end_ids=END, batch_size=batch_size, plan=plan)
    for a, b in zip(one, other[::-1], strict=True):
        assert a.token_ids == b.token_ids
        assert a.kl == pytest.approx(b.kl, abs=1e-5)
        assert [f.pmass for f in a.forks] == pytest.approx([f.pmass for f in b.forks], abs=1e-6)
        assert [replace(f, pmass=0, p_first=0) for f in a.forks] == [replace(f, pmass=0, p_first=0) for f in b.forks]


@pytest.mark.parametrize("kind", ["llama", "mamba"])
def test_who_reads_what_where_there_is_no_twin_and_where_there_is(kind):
    """Without a twin both readings are the same, with one both see the same tokens; one reading less changes none."""
    loaded, times = tiny.loaded(kind), [0, 5, 16]
    wanted = requests(direction(loaded.model), [0.0, 1.0])
    run = partial(generate, loaded, wanted, window=16, end_ids=END, batch_size=5)
    both, alone = (run(plan=ForkPlan(PROBES, times, readings)) for readings in (READINGS, READINGS[:1]))
    for i, (trajectory, other) in enumerate(zip(both, alone, strict=True)):
        steered, unsteered = ([f for f in trajectory.forks if f.reading == reading] for reading in READINGS)
        assert [f.pmass for f in steered] == pytest.approx([f.pmass for f in other.forks], abs=1e-6)
        assert {f.reading for f in other.forks} == {"steered"}
        same = [replace(f, reading="unsteered") for f in steered] == unsteered
        assert same == (i % 2 == 0)
    assert [f.pmass for f in both[1].forks if f.reading == "unsteered" and f.t == 0] == pytest.approx(
        [f.pmass for f in both[0].forks if f.reading == "unsteered" and f.t == 0], abs=1e-6
    )


def test_at_coefficient_0_the_kl_is_exactly_0_and_the_path_is_the_unsteered_one():
    loaded = tiny.loaded()
    alone = generate(loaded, requests(None, [0.0]), window=16, end_ids=END, batch_size=3)
    wanted = requests(direction(loaded.model), [0.0, 2.0])
    mixed = generate(loaded, wanted, window=16, end_ids=END, batch_size=6)[::2]
    for a, b in zip(alone, mixed, strict=True):
        assert a.token_ids == b.token_ids
        assert set(b.kl) == {0.0}


def test_a_non_finite_logit_names_prompt_dose_and_token():
    loaded = tiny.loaded()
    broken = Steering("broken", ((find_blocks(loaded.model)[1], Add(torch.full((32,), 3e38))),), {})
    wanted = [Request("p0", (5, 9), Intervention(broken, 10.0, alpha=4.0))]
    with pytest.raises(
        NonFiniteLogitsError, match=r"prompt 'p0' at token 1 \(coefficient 10 \(alpha 4\)\).*lower the dose"
    ):
        generate(loaded, wanted, window=4, end_ids=END, batch_size=1)


@pytest.mark.parametrize("coefficient", [0.0, 1.0])
def test_an_unsteered_model_that_overflows_is_not_taken_for_too_strong_a_dose(coefficient):
    loaded = tiny.loaded()
    loaded.model.lm_head.weight.data[0] = torch.inf
    wanted = [Request("p0", (5, 9), Intervention(direction(loaded.model), coefficient))]
    with pytest.raises(SteerdoseError) as caught:
        generate(loaded, wanted, window=4, end_ids=END, batch_size=1)
    assert not isinstance(caught.value, NonFiniteLogitsError)


def mixed_work(loaded, n_prompts=7):
    """Prompts of several lengths, each plain, at two doses of one steering, and at one of a second."""
    model = loaded.model
    one, two = direction(model), low_rank(model, "model.layers.2.mlp.down_proj")
    what = [Intervention(one, 0.0), Intervention(one, 1.0), Intervention(two, 0.7), Intervention(one, -2.0)]
    prompts = [tuple(range(40 + 3 * i, 44 + 3 * i + 5 * i % 7)) for i in range(n_prompts)]
    return [Request(f"p{i}", ids, each) for i, ids in enumerate(prompts) for each in what]


@pytest.mark.parametrize("kind", ["llama", "gemma3"])
def test_rows_of_several_steerings_in_one_batch_equal_the_reference(kind):
    loaded, times = tiny.loaded(kind), [0, 4, 12]
    wanted = mixed_work(loaded, n_prompts=3)
    trajectories = generate(loaded, wanted, window=12, end_ids=END, batch_size=12, plan=ForkPlan(PROBES, times))
    assert_same(loaded.model, wanted, 12, times, trajectories)


def test_a_prompt_under_steering_and_system_text_at_once_shares_a_batch_with_other_steerings():
    loaded = tiny.loaded()
    one, two = direction(loaded.model), direction(loaded.model, seed=5)
    wanted = [
        Request(f"p{i}", (*system, *ids), Intervention(steering, c), base_ids=ids if system else None)
        for i, ids in enumerate(PROMPTS)
        for steering, c, system in ((one, 1.0, ()), (two, 1.0, ()), (two, -1.0, (7, 8, 9, 10, 11)), (None, 0.0, (40,)))
    ]
    trajectories = generate(loaded, wanted, window=12, end_ids=END, batch_size=12, plan=ForkPlan(PROBES, [0, 12]))
    assert_same(loaded.model, wanted, 12, [0, 12], trajectories)


def test_all_prompts_at_once_equal_block_by_block_to_the_last_bit():
    loaded, batch_size = tiny.loaded(), 9
    wanted = mixed_work(loaded)
    run = partial(generate, loaded, window=12, batch_size=batch_size, end_ids=END, plan=ForkPlan(PROBES, [0, 4, 12]))
    cut = blocks(7, 4, batch_size)
    assert [len(block) for block in cut] == [2, 2, 2, 1]
    assert run(wanted) == [found for block in cut for found in run(wanted[4 * block.start : 4 * block.stop])]


def test_a_prompt_with_more_rows_than_a_batch_is_cut():
    loaded = tiny.loaded()
    rows = []
    loaded.model.lm_head.register_forward_hook(lambda _module, _args, output: rows.append(len(output)))
    wanted = requests(direction(loaded.model), [1.0, 2.0, 3.0, 4.0, 5.0], PROMPTS[:1])
    generate(loaded, wanted, window=1, end_ids=END, batch_size=2)
    assert rows == [3, 3, 2], "each prefill reads the unsteered prompt once"


def test_the_plain_path_is_greedy_whatever_the_models_generation_config_says():
    loaded = tiny.loaded("mamba")
    wanted = requests(direction(loaded.model), [0.0, 1.0])
    free = generate(loaded, wanted, window=12, end_ids=END, batch_size=6)
    loaded.model.generation_config.repetition_penalty = 5.0
    loaded.model.generation_config.no_repeat_ngram_size = 1
    assert generate(loaded, wanted, window=12, end_ids=END, batch_size=6) == free
    assert loaded.model.generation_config.repetition_penalty == 5.0


def kl_of(steered, base):
    return divergence(steered, base, torch.zeros(len(steered), dtype=torch.long))[0]


def test_divergence_is_the_textbook_sum_and_survives_ruled_out_tokens():
    generator = torch.Generator().manual_seed(0)
    steered, base = (4 * torch.randn(11, 300, generator=generator) for _ in range(2))
    torch.testing.assert_close(kl_of(steered, base), textbook_kl(steered, base), atol=1e-5, rtol=1e-5)
    assert kl_of(steered, steered).eq(0).all()
    kept = [i for i in range(300) if i != 7]
    steered[:, 7] = base[:, 7] = -torch.inf
    expected = textbook_kl(steered[:, kept], base[:, kept])
    torch.testing.assert_close(kl_of(steered, base), expected, atol=1e-5, rtol=1e-5)


def test_divergence_keeps_its_digits_over_a_large_vocabulary():
    generator = torch.Generator().manual_seed(0)
    steered, base = (3 * torch.randn(4, 50_000, generator=generator) for _ in range(2))
    exact = textbook_kl(steered.double(), base.double())
    torch.testing.assert_close(kl_of(steered, base).double(), exact, atol=0, rtol=3e-6)


@pytest.mark.parametrize("ruled_out", [False, True])
def test_the_kl_to_known_log_probabilities_is_the_same_to_the_last_bit(ruled_out):
    generator = torch.Generator().manual_seed(0)
    steered, base = (3 * torch.randn(19, 5_000, generator=generator) for _ in range(2))
    if ruled_out:
        steered[:, 7] = base[:, 7] = -torch.inf
    kl, total = divergence_from(steered, base - base.logsumexp(-1, keepdim=True))
    assert torch.equal(kl, kl_of(steered, base))
    assert torch.equal(total, steered.logsumexp(-1))
    assert kl.isfinite().all()


def test_the_fork_grid_is_the_published_one_and_refuses_a_window_of_0():
    assert fork_times(512, count=14) == [0, 1, 2, 3, 5, 8, 13, 23, 38, 64, 108, 181, 304, 512]
    assert fork_times(10, every=4) == [0, 4, 8, 10]
    assert fork_times(1, count=10) == [0, 1]
    with pytest.raises(SteerdoseError, match="rollout.window must be at least 1"):
        fork_times(0, count=3)


def test_nll_and_entropy_are_those_of_the_distributions_and_survive_ruled_out_tokens():
    torch.manual_seed(1)
    steered, base, token = torch.randn(5, 30), torch.randn(5, 30), torch.tensor([0, 7, 29, 3, 3])
    steered[:, 5] = -torch.inf
    _, nll, entropy = divergence(steered, base, token)
    expected = torch.nn.functional.cross_entropy(base, token, reduction="none")
    torch.testing.assert_close(nll, expected)
    torch.testing.assert_close(
        entropy, torch.distributions.Categorical(logits=steered[:, torch.arange(30) != 5]).entropy()
    )
    _, _, certain = divergence(torch.tensor([[0.0, -torch.inf]]), torch.zeros(1, 2), torch.tensor([0]))
    assert certain.item() == 0
