"""The probe: which tokens count, how it is read"""

import json
from dataclasses import replace

import pytest
import tiny
import torch
from engine_examples import END, PROBES, PROMPTS, direction
from steerdose.engine.generate import generate
from steerdose.engine.probe import ForkPlan, Probe, answer_tokens, build_probe, build_recall
from steerdose.engine.requests import Request
from steerdose.errors import SteerdoseError
from steerdose.steering.intervention import Intervention
from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerFast

PREFILL = '{"answer":'


def merging_tokenizer(*words):
    """The byte tokenizer, with one token for each of `words`, and for its beginnings (Ġ is a leading space)."""
    bytewise = tiny.tokenizer()
    state = json.loads(bytewise.backend_tokenizer.to_str())
    vocabulary, merges = state["model"]["vocab"], state["model"]["merges"]
    for word in words:
        bare = word.removeprefix("Ġ")
        steps = [(bare[:end], bare[end]) for end in range(1, len(bare))] + [("Ġ", bare)] * (word != bare)
        for left, right in steps:
            if left + right not in vocabulary:
                vocabulary[left + right] = len(vocabulary)
                merges.append([left, right])
    return PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(json.dumps(state)),
        eos_token=bytewise.eos_token,
        chat_template=tiny.CHAT_TEMPLATE,
    )


def tokens(tokenizer, *names):
    return tuple(sorted(tokenizer.convert_tokens_to_ids(list(names))))


def test_every_spelling_that_is_one_token_counts_and_no_other():
    tokenizer = merging_tokenizer("Ġtrue", "True", "TR", "Ġfalse", "Fa")
    assert tokenizer.tokenize(" True TRUE") == ["Ġ", "True", "Ġ", "TR", "U", "E"]
    true, false = answer_tokens(tokenizer, PREFILL, ["true", "false"])
    assert true == set(tokens(tokenizer, "true", "Ġtrue", "True"))
    assert false == set(tokens(tokenizer, "false", "Ġfalse"))


def test_a_single_letter_counts_in_the_given_case_only():
    tokenizer = merging_tokenizer("ĠA", "Ġa", "ĠB")
    upper, lower = answer_tokens(tokenizer, PREFILL, ["A", "b"])
    assert upper == set(tokens(tokenizer, "A", "ĠA"))
    assert lower == set(tokens(tokenizer, "b"))  # ' b' takes two tokens


def test_a_tokenizer_without_a_token_for_an_answer_tells_both_by_their_first():
    tokenizer = tiny.tokenizer()
    true, false = answer_tokens(tokenizer, PREFILL, ["true", "false"])
    assert (true, false) == (set(tokens(tokenizer, "t", "T", "Ġ")), set(tokens(tokenizer, "f", "F", "Ġ")))
    half = merging_tokenizer("true")
    assert answer_tokens(half, PREFILL, ["true", "false"])[0] == set(tokens(half, "true", "T", "Ġ"))


def test_a_spelling_that_swallows_the_suffix_is_left_out():
    tokenizer = merging_tokenizer("unt")
    assert tokenizer.tokenize("untrue") == ["unt", "r", "u", "e"]
    assert answer_tokens(tokenizer, "un", ["true"]) == [set(tokens(tokenizer, "T", "Ġ"))]


def test_first_tokens_that_both_answers_share_are_dropped():
    tokenizer = merging_tokenizer("Ġtrue")
    probe = build_probe(tokenizer, "splice", PREFILL, ["true", "false"])
    assert probe.first == tokens(tokenizer, "true", "Ġtrue", "T")
    assert probe.second == tokens(tokenizer, "f", "F")


def test_answers_that_cannot_be_told_apart_are_refused():
    message = (
        r"probes\.tea\.answers \['true', 'tea'\] cannot be told apart by their first token after .*another prefill"
    )
    with pytest.raises(SteerdoseError, match=message):
        build_probe(tiny.tokenizer(), "splice", PREFILL, ["true", "tea"], name="tea")
    assert build_probe(merging_tokenizer("true"), "splice", PREFILL, ["true", "yea"]).second


@pytest.mark.parametrize("kind", ["interrupt", "splice"])
def test_white_space_behind_the_prefill_changes_nothing(kind):
    tokenizer = merging_tokenizer("Ġtrue")
    probes = {build_probe(tokenizer, kind, PREFILL + space, ["true", "false"], "Well?") for space in ("", " ", "\n\t")}
    assert len(probes) == 1


def test_the_suffix_of_each_kind():
    tokenizer = tiny.tokenizer()
    splice = build_probe(tokenizer, "splice", PREFILL, ["true", "false"], "Well?")
    assert tokenizer.decode(splice.suffix) == PREFILL
    interrupt = build_probe(tokenizer, "interrupt", PREFILL, ["true", "false"], "Well?")
    expected = f"<|end|>\n<|start|>user\nWell?<|end|>\n<|start|>assistant\n{PREFILL}"
    assert tokenizer.decode(interrupt.suffix) == expected
    assert (interrupt.first, interrupt.second) == (splice.first, splice.second)


@pytest.mark.parametrize("kind", ["interrupt", "splice"])
def test_a_think_block_that_is_open_at_a_fork_is_closed_first(kind):
    tokenizer = tiny.tokenizer()
    tokenizer.add_tokens(["<think>", "</think>"])
    probe = build_probe(tokenizer, kind, PREFILL, ["true", "false"], "Well?")
    plain = build_probe(tiny.tokenizer(), kind, PREFILL, ["true", "false"], "Well?")
    assert plain.is_thinking is None
    behind = {text: probe.suffix_behind(tokenizer(text).input_ids) for text in ("a", "<think>a", "<think>a</think>b")}
    assert behind["a"] == behind["<think>a</think>b"] == plain.suffix
    assert tokenizer.decode(behind["<think>a"]) == "\n</think>\n\n" + tokenizer.decode(plain.suffix)
    assert (probe.first, probe.second) == (plain.first, plain.second)


def test_read_on_logits_by_hand():
    shares = torch.tensor([[0.1, 0.2, 0.3, 0.15, 0.25], [0.5, 0.0, 0.0, 0.0, 0.5], [0.0, 0.5, 0.25, 0.25, 0.0]])
    logits = (shares.log() + 7).reshape(1, 3, 5)
    pmass, p_first, argmax, is_answer = Probe(suffix=(9,), first=(1, 3), second=(2,)).read(logits)
    torch.testing.assert_close(pmass, torch.tensor([[0.65, 0.0, 1.0]]))
    torch.testing.assert_close(p_first, torch.tensor([[0.35 / 0.65, 0.0, 0.75]]))
    assert argmax.tolist()[0][::2] == [2, 1]
    assert is_answer.tolist()[0] == [True, False, True]


@pytest.mark.parametrize("kind", ["llama", "mamba"])
def test_what_is_asked_behind_one_prompt_is_read_behind_that_one(kind):
    """Suffixes of other lengths and other answers in one batch, against a plan for each prompt alone."""
    loaded = tiny.loaded(kind)
    own = {"p0": PROBES["short"], "p1": PROBES["long"], "p2": Probe(suffix=(3,), first=(11,), second=(12, 13))}
    steering = direction(loaded.model)
    wanted = [
        Request(name, ids, Intervention(steering, c))
        for name, ids in zip(own, PROMPTS, strict=True)
        for c in (0.0, 2.0)
    ]
    work = {"window": 8, "end_ids": END, "batch_size": 6}
    mixed = ForkPlan({"recall": replace(own["p0"], by_prompt=own)}, [0, 3, 8])
    for request, found in zip(wanted, generate(loaded, wanted, plan=mixed, **work), strict=True):
        alone = ForkPlan({"recall": own[request.prompt_id]}, [0, 3, 8])
        (expected,) = generate(loaded, [request], plan=alone, **work)
        assert [fork.pmass for fork in found.forks] == pytest.approx([f.pmass for f in expected.forks], abs=1e-5)
        assert [fork.argmax for fork in found.forks] == [f.argmax for f in expected.forks]


def test_a_recall_probe_asks_each_prompt_for_its_topics():
    tokenizer = tiny.tokenizer()
    topics = {"a": ("physics", "history"), "b": ("music", "physics")}
    probe = build_recall(tokenizer, "About", topics, "About {first} or {second}?")
    for name, (first, second) in topics.items():
        assert f"About {first} or {second}?" in tokenizer.decode(probe.of(name).suffix)
        assert probe.of(name).answers == (first, second)
    assert probe.of("a").first == probe.of("b").second != ()
