"""Tokens that are drawn: from which distribution, and what may not change them."""

import pytest
import tiny
import torch
from scipy.stats import chisquare
from steerdose.engine.decoding import draw
from steerdose.engine.generate import generate
from steerdose.engine.requests import Request
from steerdose.study.rollout import Decoding

LOGITS = torch.tensor([0.5, 2.0, -1.0, 1.0, 0.0])
PROMPTS = [(5, 9, 17), (30, 31, 32, 33, 34), (8,)]


def decoding(temperature=1.0, top_p=1.0, n_samples=2):
    return Decoding(temperature=temperature, top_p=top_p, n_samples=n_samples)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_tokens_are_as_frequent_as_they_are_probable(temperature):
    uniform = torch.rand(20_000, generator=torch.Generator().manual_seed(1), dtype=torch.double)
    found = draw(LOGITS.expand(20_000, -1), uniform, decoding(temperature)).bincount(minlength=5)
    expected = 20_000 * (LOGITS.double() / temperature).softmax(-1)
    assert chisquare(found.numpy(), expected.numpy()).pvalue > 1e-3


def test_top_p_keeps_the_likeliest_that_reach_it_and_no_more():
    p = LOGITS.softmax(-1).sort(descending=True).values.cumsum(-1)
    uniform = torch.linspace(0, 1 - 1e-9, 999, dtype=torch.double)
    for kept in range(1, 6):
        found = draw(LOGITS.expand(999, -1), uniform, decoding(top_p=min(1.0, float(p[kept - 1]) - 1e-6)))
        assert set(found.tolist()) == set(LOGITS.topk(kept).indices.tolist())


def texts(batch_size, given, prompts=PROMPTS, samples=(0, 1)):
    shared = {"decoding": given}
    wanted = [Request(f"p{i}", ids, sample=sample, **shared) for i, ids in enumerate(prompts) for sample in samples]
    found = generate(tiny.loaded(), wanted, window=12, batch_size=batch_size, end_ids=frozenset([0]))
    return {(r.prompt_id, r.sample): t.token_ids for r, t in zip(wanted, found, strict=True)}


def test_neither_batch_nor_company_changes_a_sample_and_samples_differ():
    whole = texts(6, decoding())
    assert whole == texts(2, decoding()) == texts(1, decoding())
    assert texts(6, decoding(), samples=(1, 0)) == whole
    assert texts(6, decoding(), prompts=PROMPTS[:1]).items() <= whole.items()
    assert all(whole[f"p{i}", 0] != whole[f"p{i}", 1] for i in range(3))


def test_requests_of_several_decodings_share_a_batch():
    ways = (None, decoding(), decoding(temperature=2.0, top_p=0.8))
    wanted = [Request(f"p{i}", ids, decoding=way) for i, ids in enumerate(PROMPTS) for way in ways]
    found = generate(tiny.loaded(), wanted, window=12, batch_size=9, end_ids=frozenset([0]))
    for request, text in zip(wanted, found, strict=True):
        assert text.token_ids == texts(1, request.decoding)[request.prompt_id, 0]


def test_the_coldest_sample_is_the_greedy_text():
    assert texts(6, decoding(temperature=1e-4)) == texts(6, None)
