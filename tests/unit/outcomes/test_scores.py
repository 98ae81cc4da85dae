"""Scores of a task as a job: every dose of every method, and only what is missing the second time."""

import pytest
import torch
from engine_examples import direction
from prompt_examples import save_model, save_texts
from steerdose.columns import Cell
from steerdose.declarations.passed import KEYED_SCORES, SCORES
from steerdose.files import read_table, write_json
from steerdose.model import chat
from steerdose.model.loading import load_model
from steerdose.outcomes import scores as module
from steerdose.outcomes.gather import gather_scores
from steerdose.outcomes.scores import score_task
from steerdose.steering.steering import MEMBERS, Steering, steer
from steerdose.study.items import load_items
from steerdose.study.settings import Run, ScoreTask, Subject
from steerdose.study.tasks import ChoiceTask, Form

WORDS = ("true", "false")
TASK = ChoiceTask(
    kind="choice",
    data="data/claims.jsonl",
    forms={
        "claim": Form(prompt="{claim} True?", answers=WORDS, intended="truth"),
        "negation": Form(prompt="{negation} True?", answers=WORDS, intended="not truth"),
    },
    batch_size=2,
)
METHODS = {"both.a": Subject(), "both.b": Subject()}
CELL = Cell("tiny", "honesty", 0)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return save_model(tmp_path_factory.mktemp("tiny"))


@pytest.fixture
def scored(model, tmp_path):
    """Score the first claims; what is left out is as before."""
    whole = load_model(model).model
    edits = tuple(direction(whole, seed).edits[0] for seed in (1, 2))
    Steering("both", edits, {MEMBERS: '["a", "b"]'}).save(tmp_path / "both.safetensors")

    def run(alphas=(0, 1), last=3, methods=METHODS, texts=(), code="1"):
        found = {name: {"positive": {"c_star": 2.0}, "negative": {"c_star": 3.0}} for name in methods}
        write_json(found, tmp_path / "search.json")
        settings = ScoreTask(
            run=Run(dtype="float32", device="cpu"),
            task=TASK,
            template="",
            alphas=alphas,
            methods=methods,
            first=0,
            last=last,
        )
        score_task(
            model=model,
            steering=[str(tmp_path / "both.safetensors")],
            doses=[str(tmp_path / "search.json")],
            reference=[],
            questions="data/questions.jsonl",
            system_prompts=list(texts),
            designed=[],
            cell=CELL,
            settings=settings,
            code=code,
            scores=str(tmp_path / "scores.parquet"),
        )
        return read_table(tmp_path / "scores.parquet", KEYED_SCORES)

    return run


def test_scores_are_those_of_the_steered_model_read_by_itself(scored, model, tmp_path):
    table = scored(alphas=(0, 1, -1))
    assert table.select("method", "alpha", "coefficient").unique(maintain_order=True).rows() == [
        (name, *dose) for name in METHODS for dose in ((0.0, 0.0), (1.0, 2.0), (-1.0, -3.0))
    ]
    loaded, claim = load_model(model), load_items(TASK)[1]
    steering = Steering.load(tmp_path / "both.safetensors").member("both.b")
    odds = []
    for text in (claim["claim"], claim["negation"]):
        ids = torch.tensor([chat.prompt_ids(loaded.tokenizer, chat.conversation(f"{text} True?"))])
        with torch.inference_mode(), steer(loaded.model, steering, -3.0):
            logits = loaded.model(ids).logits[0, -1]
        first, second = (
            {chat.encode(loaded.tokenizer, space + word)[0] for word in words for space in ("", " ")}
            for words in (("true", "True", "TRUE"), ("false", "False", "FALSE"))
        )
        odds.append(float(logits[list(first - second)].logsumexp(0) - logits[list(second - first)].logsumexp(0)))
    found = table.filter(method="both.b", alpha=-1.0, item=claim["id"], metric="logratio")
    assert found["form"].to_list() == ["claim", "negation"]
    assert found["value"].to_list() == pytest.approx(odds, abs=1e-4)
    assert found["label"].to_list() == ([1, -1] if claim["truth"] else [-1, 1])


def test_only_what_is_missing_is_scored_again_and_other_code_scores_all(scored, monkeypatch):
    scored()
    asked, readings = [], module.readings

    def count(loaded, claims, chosen, *rest):
        asked.append((len(chosen), len(claims)))
        return readings(loaded, claims, chosen, *rest)

    monkeypatch.setattr(module, "readings", count)
    before = scored()
    assert asked == []
    more = scored(alphas=(0, 1, 2))
    assert asked == [(2, 3)], "alpha 2 of both methods"
    longer = scored(alphas=(0, 1, 2), last=4)
    assert asked[1:] == [(6, 2)], "the fourth claim and the third, which it pads, at every dose"
    old, kept = (table.filter(table["item"] < "q-03", table["alpha"] < 2) for table in (before, longer))
    assert kept.equals(old)
    assert longer["item"].unique(maintain_order=True).to_list() == [f"q-{i:02}" for i in range(1, 5)]
    assert more.height == 2 * 3 * 3 * 6
    scored(alphas=(0, 1), code="2")
    assert asked[2:] == [(4, 3)]


def test_a_prompt_is_scored_behind_its_texts_without_a_coefficient(scored, tmp_path):
    texts = save_texts(tmp_path / "texts.yaml")
    table = scored(alphas=(0, 1.5, -1), methods={"simple": Subject(style="simple")}, texts=[texts])
    doses = table.select("alpha", "coefficient").unique(maintain_order=True).rows()
    assert doses == [(-1.0, None), (0.0, 0.0), (1.0, None)]


def test_gathered_scores_are_one_methods_without_keys(scored, tmp_path):
    table = scored()
    path = str(tmp_path / "both.b.parquet")
    gather_scores(parts=[str(tmp_path / "scores.parquet")], cell=CELL.of("both.b"), task="t", scores=path)
    found = read_table(path, SCORES)
    assert found["task"].unique().to_list() == ["t"]
    assert found.drop("task").equals(table.filter(method="both.b").drop("key"))
