"""Kinds of tasks that are read: what is asked, and what is made of readings, by hand and against plain forwards."""

import math

import polars as pl
import pytest
import tiny
import torch
from steerdose.engine.score import Score, score
from steerdose.errors import SteerdoseError
from steerdose.model import chat
from steerdose.model.loading import LoadedModel
from steerdose.outcomes.tasks import choice, likelihood, options
from steerdose.steering.intervention import UNSTEERED, Intervention
from steerdose.study.items import forms_of, load_items, sign_of
from steerdose.study.tasks import ChoiceTask, Form, LikelihoodTask, OptionsTask, measures_of

ASKED = {
    "claim": Form(prompt='True? {claim} Reply {"x": 1}.', answers=("true", "false"), intended="truth"),
    "negation": Form(prompt="True? {negation}", answers=("true", "false"), intended="not truth"),
}
CLAIMS = ChoiceTask(kind="choice", data="d", forms=ASKED, batch_size=4)
ROWS = [
    {"id": "q-1", "claim": "Two is even.", "negation": "Two is odd.", "truth": True},
    {"id": "q-2", "claim": "Ice is hot.", "negation": None, "truth": False},
    {"id": "q-3", "claim": "Who knows.", "truth": None},
]
MC1 = OptionsTask(
    kind="options", data="d", prompt="{question}", options="mc1.choices", right="mc1.labels", batch_size=2
)
TEXTS = LikelihoodTask(kind="likelihood", data="d", prompt="Write: {register}.", n_answers=1, batch_size=2)


@pytest.fixture(scope="module")
def loaded():
    return LoadedModel(tiny.model(), tiny.tokenizer(), "0" * 64)


def by(found):
    return {(each.item, each.form, each.metric): each.value for each in found}


def test_an_item_is_asked_in_the_forms_that_it_has_columns_and_a_label_for():
    assert [forms_of(row, CLAIMS) for row in ROWS] == [["claim", "negation"], ["claim"], []]
    tokenizer = tiny.tokenizer()
    items = choice.items(tokenizer, ROWS, CLAIMS, [UNSTEERED, Intervention(system="Lie.")])
    assert [item.id for item in items] == ["q-1.claim", "q-1.negation", "q-2.claim"]
    text = 'True? Two is even. Reply {"x": 1}.'
    assert items[0].ids["Lie."] == tuple(chat.prompt_ids(tokenizer, chat.conversation(text, "Lie.")))


def test_readings_of_two_answers_become_log_odds_mass_and_label():
    readings = [Score((math.log(0.6), math.log(0.2)), (), True), None, Score((math.log(0.1), math.log(0.4)), (), False)]
    found = list(choice.found(ROWS, CLAIMS, readings))
    assert [(each.item, each.form, each.label) for each in found[::3]] == [
        ("q-1", "claim", 1),
        ("q-1", "negation", -1),
        ("q-2", "claim", -1),
    ]
    values = by(found)
    assert values["q-1", "claim", "logratio"] == pytest.approx(math.log(3))
    assert values["q-1", "claim", "pmass"] == pytest.approx(0.8)
    assert [values["q-1", "claim", "answered"], values["q-2", "claim", "answered"]] == [1, 0]
    assert values["q-1", "negation", "logratio"] is None


def test_a_cluster_is_a_column():
    task = CLAIMS.model_copy(update={"cluster": "group"})
    (first, *_) = choice.found([{**ROWS[1], "group": 7}], task, [None])
    assert first.cluster == "7"


@pytest.mark.parametrize(
    ("value", "sign"),
    [
        (True, 1),
        (False, -1),
        (1, 1),
        (-1, -1),
        (0, 0),
        (0.5, 1),
        (" (A)", 1),
        ("B", -1),
        ("b)", -1),
        ("C", 0),
        (None, 0),
    ],
)
def test_a_label_is_read_from_what_public_data_sets_write(value, sign):
    form = Form(prompt="{q}", answers=("A", "B"), intended="label")
    task = ChoiceTask(kind="choice", data="d", forms={"a": form}, batch_size=1)
    assert sign_of({"label": value}, "a", task) == sign


def test_the_likeliest_right_answer_against_the_likeliest_wrong_one():
    row = {"id": "t", "question": "?", "mc1": {"choices": ["a", "b c", "d"], "labels": [0, 1, 0]}}
    scores = [Score((), (-2.0,)), Score((), (-0.5, -0.7)), Score((), (-1.5,))]
    assert by(options.found([row], MC1, scores)) == {("t", "", "margin"): pytest.approx(0.3), ("t", "", "correct"): 1}
    assert by(options.found([row], MC1, [None, *scores[1:]]))["t", "", "margin"] is None
    with pytest.raises(SteerdoseError, match="right and wrong ones among them"):
        list(options.found([row | {"mc1": {"choices": ["a"], "labels": [1]}}], MC1, scores))


def test_options_and_texts_are_read_as_plain_forwards_read_them(loaded):
    row = {"id": "t", "question": "Why?", "mc1": {"choices": ["so", "no idea"], "labels": [1, 0]}}
    text = {"id": "x", "register": "news", "text": "It rained."}
    for kind, rows, task in ((options, [row], MC1), (likelihood, [text], TEXTS)):
        for item in kind.items(loaded.tokenizer, rows, task, [UNSTEERED]):
            ((read,),) = score(loaded, [UNSTEERED], [item], batch_rows=4)
            ids = torch.tensor([item.ids[None]])
            with torch.inference_mode():
                logp = loaded.model(ids).logits[0].log_softmax(-1)
            n = item.n_scored
            own = logp[-n - 1 : -1].gather(-1, ids[0, -n:, None])[:, 0]
            assert read.tokens == pytest.approx(own.tolist(), abs=1e-4)
            assert list(read.likeliest) == (logp[-n - 1 : -1].argmax(-1) == ids[0, -n:]).tolist()


def test_answers_of_the_unsteered_model_agree_with_it_and_fixed_texts_have_no_agreement(loaded):
    prompt = chat.prompt_ids(loaded.tokenizer, chat.conversation("Why?"))
    ids = list(prompt)
    for _ in range(6):
        with torch.inference_mode():
            ids.append(int(loaded.model(torch.tensor([ids])).logits[0, -1].argmax()))
    frame = {"prompt_id": "q", "decoding": "greedy", "sample": 0, "t": range(1, 7), "token_id": ids[len(prompt) :]}
    rows = [
        {"id": "x", "register": "news", "text": "It rained."},
        *likelihood.answers_of(pl.DataFrame(frame), {"q": "Why?"}),
    ]
    items = likelihood.items(loaded.tokenizer, rows, TEXTS, [UNSTEERED])
    (read,) = score(loaded, [UNSTEERED], items, batch_rows=4)
    found = by(likelihood.found(rows, TEXTS, read))
    assert found["own.q", likelihood.OWN, "agreement"] == 1
    assert ("x", "news", "agreement") not in found
    assert found["x", "news", "nll"] == pytest.approx(-sum(read[0].tokens) / len(read[0].tokens))


def test_public_files_are_read_by_their_columns(tmp_path):
    parquet, csv = str(tmp_path / "mc.parquet"), str(tmp_path / "evals.csv")
    nested = {"question": ["Why?"], "mc1": [{"choices": ["a", "b"], "labels": [1, 0]}]}
    pl.DataFrame(nested).write_parquet(parquet)
    (row,) = load_items(MC1.model_copy(update={"data": parquet}))
    assert row["id"] == "0"
    assert options.options_of(row, MC1) == [("a", True), ("b", False)]
    pl.DataFrame({"question": ["Q (A) x (B) y"], "answer_matching_behavior": [" (B)"]}).write_csv(csv)
    form = Form(prompt="{question}", answers=("A", "B"), intended="answer_matching_behavior")
    task = ChoiceTask(kind="choice", data=csv, forms={"given": form}, batch_size=1)
    assert [sign_of(item, "given", task) for item in load_items(task)] == [-1]
    assert measures_of(task) == ("shift",)


def test_items_that_cannot_be_read_are_refused_with_what_is_wrong(tmp_path):
    path = tmp_path / "rows.jsonl"
    task = TEXTS.model_copy(update={"data": str(path)})
    for text, message in (
        ("", "1 items are wanted, it has 0"),
        ('{"text": "a"}', "no column 'register'"),
        ('{"text": "a"\n', "line 1 is not valid JSON"),
        ("[1]", "line 1 is no object"),
        ('{"id": 1, "text": "a", "register": "b"}\n' * 2, "id '1' occurs more than once"),
    ):
        path.write_text(text)
        with pytest.raises(SteerdoseError, match=message):
            load_items(task)
