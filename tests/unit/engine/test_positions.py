"""Steering of the prompt's tokens alone, or of generated ones, against whole forwards with the direction put in."""

import pytest
import tiny
import torch
from engine_examples import END, PROBES, PROMPTS, direction
from reference.rollout import textbook_kl
from steerdose.engine.generate import generate
from steerdose.engine.probe import ForkPlan
from steerdose.engine.requests import Request
from steerdose.engine.score import Item, score
from steerdose.errors import SteerdoseError
from steerdose.steering.intervention import UNSTEERED, Intervention

WINDOW, TIMES = 12, [0, 3, 12]
POSITIONS = ("all", "prompt", "generated")


@torch.inference_mode()
def logits_of(model, steering, c, ids, mask):
    """All logits of one text, with the direction added behind its block where the mask is true."""
    ((path, edit),) = steering.edits
    shift = c * torch.tensor(mask)[None, :, None] * edit.v

    def add(_, __, output):
        return (output[0] + shift, *output[1:]) if isinstance(output, tuple) else output + shift

    handle = dict(model.named_modules())[path].register_forward_hook(add)
    try:
        return model(torch.tensor([ids])).logits[0]
    finally:
        handle.remove()


def steered_places(positions, n_prompt, n_generated, n_suffix=0):
    prompt, generated = positions != "generated", positions != "prompt"
    return [prompt] * n_prompt + [generated] * n_generated + [prompt] * n_suffix


def by_hand(model, steering, c, prompt, positions):
    """Tokens, KLs and forks of a greedy text, each token from a forward over all before it."""
    ids, kl, n = list(prompt), [], len(prompt)
    for t in range(WINDOW):
        mask = steered_places(positions, n, t)
        steered = logits_of(model, steering, c, ids, mask)[-1]
        kl.append(float(textbook_kl(steered, logits_of(model, steering, 0.0, ids, mask)[-1])))
        ids.append(int(steered.argmax()))
    forks = {}
    for name, probe in PROBES.items():
        for t in TIMES:
            text = ids[: n + t]
            suffix = probe.suffix_behind(text)
            mask = steered_places(positions, n, t, len(suffix))
            for reading, dose in (("steered", c), ("unsteered", 0.0)):
                last = logits_of(model, steering, dose, [*text, *suffix], mask)[-1]
                forks[name, reading, t] = float(probe.read(last)[0])
    return ids[n:], kl, forks


@pytest.mark.parametrize("positions", POSITIONS)
@pytest.mark.parametrize("kind", ["llama", "gemma3"])
def test_rollouts_and_forks_are_steered_where_they_should_be(kind, positions):
    loaded = tiny.loaded(kind)
    steering = direction(loaded.model)
    wanted = [
        Request(f"p{i}", ids, Intervention(steering, c, positions=positions))
        for i, ids in enumerate(PROMPTS)
        for c in (0.0, 2.0, -3.0)
    ]
    found = generate(loaded, wanted, window=WINDOW, end_ids=END, batch_size=9, plan=ForkPlan(PROBES, TIMES))
    for request, trajectory in zip(wanted, found, strict=True):
        ids, kl, forks = by_hand(loaded.model, steering, request.intervention.coefficient, request.ids, positions)
        assert trajectory.token_ids == ids[: len(trajectory.token_ids)]
        assert trajectory.kl == pytest.approx(kl[: len(trajectory.kl)], abs=1e-4)
        for fork in trajectory.forks:
            assert fork.pmass == pytest.approx(forks[fork.probe, fork.reading, fork.t], abs=1e-4)
    if positions == "generated":
        assert all(trajectory.kl[0] == 0 for trajectory in found), "the first token follows from the prompt alone"


def test_rows_of_all_positions_share_a_batch():
    loaded = tiny.loaded("llama")
    steering = direction(loaded.model)
    mixed = [Request("p", PROMPTS[0], Intervention(steering, 2.0, positions=each)) for each in POSITIONS]
    together = generate(loaded, mixed, window=WINDOW, end_ids=END, batch_size=9)
    for request, trajectory in zip(mixed, together, strict=True):
        (alone,) = generate(loaded, [request], window=WINDOW, end_ids=END, batch_size=9)
        assert trajectory.token_ids == alone.token_ids
        assert trajectory.kl == pytest.approx(alone.kl, abs=1e-5)
    assert len({tuple(trajectory.kl) for trajectory in together}) == len(POSITIONS)


@pytest.mark.parametrize("positions", POSITIONS)
@pytest.mark.parametrize("kind", ["llama", "mamba"])
def test_scored_tokens_count_as_generated_and_all_before_them_as_prompt(kind, positions):
    loaded = tiny.loaded(kind)
    steering = direction(loaded.model)
    given = [UNSTEERED, Intervention(steering, 2.0, positions=positions)]
    texts = [((5, 9, 17), (30, 31, 32, 33)), ((100, 20, 7, 8, 9), (60,)), ((4, 4), ())]
    items = [
        Item(f"i{i}", {None: (*prompt, *text)}, ((50, 51),), n_scored=len(text))
        for i, (prompt, text) in enumerate(texts)
    ]
    for what, scores in zip(given, score(loaded, given, items, batch_rows=6), strict=True):
        for (prompt, text), found in zip(texts, scores, strict=True):
            ids, n = [*prompt, *text], len(prompt)
            mask = steered_places(positions, n, len(text))
            log_p = logits_of(loaded.model, steering, what.coefficient, ids, mask).log_softmax(-1)
            own = [float(log_p[n - 1 + i, token]) for i, token in enumerate(text)]
            assert found.tokens == pytest.approx(own, abs=1e-4)
            assert found.answers[0] == pytest.approx(float(log_p[-1, [50, 51]].logsumexp(0)), abs=1e-4)


def test_a_model_without_a_shared_cache_says_that_it_cannot():
    loaded = tiny.loaded("mamba")
    wanted = [Request("p", PROMPTS[0], Intervention(direction(loaded.model), 1.0, positions="generated"))]
    with pytest.raises(SteerdoseError, match="positions: rows of this model cannot share a cache"):
        generate(loaded, wanted, window=4, end_ids=END, batch_size=4)
