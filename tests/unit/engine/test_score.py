"""Texts read under many interventions at once, against one text at a time in a model with the effective weights."""

from collections import Counter

import pytest
import tiny
import torch
import transformers
from engine_examples import direction, low_rank
from reference.rollout import steered_copy
from reference.scores import read_text
from steerdose.engine import score as module
from steerdose.engine.prefixes import levels
from steerdose.engine.score import Item, render, score
from steerdose.errors import SteerdoseError
from steerdose.model import chat
from steerdose.model.architecture import find_blocks, is_cacheable
from steerdose.model.loading import LoadedModel
from steerdose.steering.edits import Add
from steerdose.steering.intervention import UNSTEERED, Intervention
from steerdose.steering.steering import Steering

TEXTS = [(5, 9, 17, 44), (30, 31, 32, 33, 34, 35, 36, 90, 91, 92, 93, 94), (100, 20), tuple(range(150, 167))]
ASKED = [(((50, 51), (60,)), 0), ((), 5), (((70,), (80, 81, 82)), 1), (((1, 2),), 12)]
SYSTEM = (7, 8, 9, 10, 11, 12)


def items():
    return [
        Item(f"i{i}", {None: ids, "Lie.": (*SYSTEM, *ids)}, answers, n)
        for i, (ids, (answers, n)) in enumerate(zip(TEXTS, ASKED, strict=True))
    ]


def work(model, linear):
    """Two steerings of which one edits a later block, several doses, and a system text alone and with a dose."""
    one, two = direction(model), low_rank(model, linear)
    doses = [Intervention(one, c) for c in (0.0, 8.0, -5.0)] + [Intervention(two, c) for c in (0.7, -0.3)]
    return [UNSTEERED, *doses, Intervention(system="Lie."), Intervention(one, 1.0, "Lie.")]


def by_hand(model, intervention, item):
    steered = model
    if intervention.steering:
        steered = steered_copy(model, intervention.steering, intervention.coefficient)
    answers = [list(answer) for answer in item.answers]
    return read_text(steered, list(item.ids[intervention.system]), answers, item.n_scored)


def assert_same(model, interventions, found, wanted):
    assert len(found) == len(interventions)
    for intervention, scores in zip(interventions, found, strict=True):
        for item, each in zip(wanted, scores, strict=True):
            answers, tokens = by_hand(model, intervention, item)
            assert list(each.answers) == pytest.approx(answers, abs=1e-5)
            assert list(each.tokens) == pytest.approx(tokens, abs=1e-5)


@pytest.mark.parametrize("batch_rows", [1, 5, 11, 200])
@pytest.mark.parametrize("kind", tiny.WRITERS)
def test_equals_one_text_at_a_time_on_every_architecture(kind, batch_rows):
    """Sliding windows have 8 tokens, fewer than the texts; mamba and hybrids take the path without padding."""
    loaded = tiny.loaded(kind)
    interventions = work(loaded.model, tiny.WRITERS[kind])
    found = score(loaded, interventions, items(), batch_rows=batch_rows)
    assert_same(loaded.model, interventions, found, items())
    assert abs(found[0][1].tokens[0] - found[2][1].tokens[0]) > 0.01, "the steering must do something"


@pytest.mark.parametrize("kind", ["llama", "gpt2", "gemma3", "mamba", "cohere2"])
def test_logits_in_small_pieces_are_the_same(kind, monkeypatch):
    loaded = tiny.loaded(kind)
    interventions, largest = work(loaded.model, tiny.WRITERS[kind]), []
    loaded.model.get_output_embeddings().register_forward_hook(
        lambda _module, _args, output: largest.append(output.numel())
    )
    monkeypatch.setattr(module, "LOGIT_BYTES", 4 * 258 * 60)
    found = score(loaded, interventions, items(), batch_rows=20)
    assert max(largest) <= 60 * 258
    assert_same(loaded.model, interventions, found, items())


def test_an_alibi_model_reads_without_padding():
    config = transformers.FalconConfig(
        vocab_size=258, hidden_size=32, num_hidden_layers=3, num_attention_heads=4, alibi=True, bos_token_id=0,
        eos_token_id=0, initializer_range=0.3, new_decoder_architecture=False,
    )  # fmt: skip
    torch.manual_seed(0)
    loaded = LoadedModel(transformers.AutoModelForCausalLM.from_config(config).eval(), tiny.tokenizer(), "0")
    assert not is_cacheable(loaded.model)
    interventions = work(loaded.model, "transformer.h.2.mlp.dense_4h_to_h")
    found = score(loaded, interventions, items(), batch_rows=20)
    assert_same(loaded.model, interventions, found, items())


@pytest.mark.parametrize("kind", ["llama", "mamba"])
def test_at_coefficient_0_a_text_is_read_as_by_the_plain_model(kind):
    loaded = tiny.loaded(kind)
    interventions = work(loaded.model, tiny.WRITERS[kind])
    found = score(loaded, interventions, items(), batch_rows=20)
    assert found[0] == found[1], "every unsteered twin is the same row"
    alone = score(loaded, [UNSTEERED], items(), batch_rows=20)
    forced = score(loaded, [UNSTEERED, Intervention(interventions[1].steering, 1e-30)], items(), batch_rows=20)
    assert forced[1] == forced[0], "a row of its own beside the plain one, with nothing added to it"
    assert [each.tokens for each in alone[0]] == [pytest.approx(each.tokens, abs=1e-5) for each in found[0]]


def test_blocks_below_the_first_edit_read_a_text_once_and_those_above_once_a_dose():
    loaded = tiny.loaded()
    model, rows = loaded.model, Counter()
    for index, path in enumerate(find_blocks(model)):
        model.get_submodule(path).register_forward_hook(
            lambda _module, args, _output, index=index: rows.update({index: len(args[0])})
        )
    one, two = direction(model), low_rank(model, tiny.WRITERS["llama"])
    doses = [Intervention(one, c) for c in (0.0, 1.0, 2.0, -1.0)] + [Intervention(two, c) for c in (0.0, 0.5)]
    score(loaded, [UNSTEERED, *doses, UNSTEERED], items(), batch_rows=100)
    assert rows == {0: 4, 1: 4 * 5, 2: 4 * 5}, "4 texts; above, 4 doses and one unsteered row for 4 interventions"
    rows.clear()
    score(loaded, [UNSTEERED, *doses[4:]], items(), batch_rows=100)
    assert rows == {0: 4, 1: 4, 2: 4 * 2}, "the second steering edits the last block alone"


OPENING, SITUATION = tuple(range(40, 60)), tuple(range(100, 112))
ALIKE = [
    Item("a", {None: (*OPENING, *SITUATION, 5, 6, 7)}, ((50,), (60,))),
    Item("b", {None: (*OPENING, *SITUATION, 8)}, ((50,), (60,))),
    Item("c", {None: (*OPENING, *reversed(SITUATION), 9, 10)}, ((70, 71),), 4),
    Item("d", {None: (*OPENING, *SITUATION, 5, 6, 8)}, (), 2),
    Item("e", {None: (*OPENING, 1)}, ((50,),)),
]


@pytest.mark.parametrize("batch_rows", [4, 11, 200])
@pytest.mark.parametrize("kind", ["llama", "gpt2", "gemma3", "mamba", "cohere2"])
def test_texts_that_begin_alike_equal_one_text_at_a_time(kind, batch_rows):
    loaded = tiny.loaded(kind)
    interventions = [each for each in work(loaded.model, tiny.WRITERS[kind]) if not each.system]
    found = score(loaded, interventions, ALIKE, batch_rows=batch_rows)
    assert_same(loaded.model, interventions, found, ALIKE)


@pytest.mark.parametrize(("kind", "expected"), [("llama", [(1, 20), (2, 12), (5, 14)]), ("mistral", [(5, 35)])])
def test_what_texts_begin_with_is_read_once_where_no_window_counts_the_padding(kind, expected):
    """The opening once, then the situation, and nothing for those without it, then the rests, up to c's 14 tokens."""
    loaded = tiny.loaded(kind)
    cells = []
    block = loaded.model.get_submodule(find_blocks(loaded.model)[0])
    block.register_forward_hook(lambda _module, args, _output: cells.append(args[0].shape[:2]))
    score(loaded, [UNSTEERED, Intervention(direction(loaded.model), 1.0)], ALIKE, batch_rows=200)
    assert cells == expected


def test_all_items_at_once_equal_block_by_block_to_the_last_bit():
    loaded = tiny.loaded()
    interventions = work(loaded.model, tiny.WRITERS["llama"])
    whole = score(loaded, interventions, items(), batch_rows=17)
    parts = [score(loaded, interventions, items()[start : start + 2], batch_rows=17) for start in (0, 2)]
    assert whole == [first + second for first, second in zip(*parts, strict=True)]


def test_a_dose_that_overflows_has_no_score_and_the_others_keep_theirs():
    loaded = tiny.loaded()
    broken = Steering("broken", ((find_blocks(loaded.model)[1], Add(torch.full((32,), 3e38))),), {})
    interventions = [UNSTEERED, Intervention(broken, 10.0), Intervention(direction(loaded.model), 1.0)]
    found = score(loaded, interventions, items(), batch_rows=20)
    assert found[1] == [None] * 4
    assert_same(loaded.model, interventions[::2], found[::2], items())


def test_an_unsteered_model_that_overflows_is_refused():
    loaded = tiny.loaded()
    loaded.model.lm_head.weight.data[0] = torch.inf
    with pytest.raises(SteerdoseError, match=r"unsteered model are not finite for item 'i\d': set the model's dtype"):
        score(loaded, [UNSTEERED], items(), batch_rows=20)


def test_ruled_out_tokens_have_no_mass_and_spoil_nothing():
    loaded = tiny.loaded()
    head = loaded.model.lm_head
    head.register_forward_hook(lambda _module, _args, output: output.index_fill(-1, torch.tensor([60]), -torch.inf))
    item = Item("i", {None: TEXTS[0]}, ((60,), (50, 60)), 2)
    ((found,),) = score(loaded, [UNSTEERED], [item], batch_rows=20)
    assert found.answers[0] == -torch.inf
    assert found.answers[1] == pytest.approx(by_hand(loaded.model, UNSTEERED, item)[0][1], abs=1e-5)


def test_what_is_rendered_is_the_prompt_behind_each_system_text():
    tokenizer = tiny.tokenizer()
    lie, steered = Intervention(system="Lie."), Intervention(direction(tiny.model()), 1.0)
    ids = render(tokenizer, "Is ice cold?", [lie, steered, UNSTEERED], behind=(65, 66))
    assert list(ids) == ["Lie.", None]
    for system, found in ids.items():
        assert list(found) == [*chat.prompt_ids(tokenizer, chat.conversation("Is ice cold?", system)), 65, 66]


@pytest.mark.parametrize("n_scored", [-1, 4])
def test_the_first_token_has_no_probability(n_scored):
    with pytest.raises(ValueError, match=f"item 'x': {n_scored} of 4 tokens cannot be scored"):
        Item("x", {None: TEXTS[0], "Lie.": (*SYSTEM, *TEXTS[0])}, (), n_scored)


def test_a_prefix_ends_before_whatever_is_asked_of_either_text():
    doses = [UNSTEERED, Intervention(direction(tiny.model()), 1.0)]
    rows = [(item.ids[None], dose, 0) for item in ALIKE for dose in doses]
    *shared, rest = levels(rows, [15 if len(ids) == 33 else len(ids) - 1 for ids, _, _ in rows], apart=False)
    assert [[len(part) for part in level.tokens] for level in shared] == [[15], [34 - 15, 0]], "a and d"
    assert [len(part) for part in rest.tokens] == [1, 33 - 15, 34 - 15, 1, 21 - 15]
