"""The shipped texts, and the refusal of files that would spoil a study."""

import json
import re
from collections import Counter
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from steerdose.errors import SteerdoseError
from steerdose.study.texts import (
    SPLITS,
    Prompt,
    load_personas,
    load_prompts,
    load_questions,
    load_system_prompts,
    schema_problems,
    take,
)

DATA = Path(__file__).parents[3] / "data"
LOADERS = {
    "prompts": load_prompts,
    "questions": load_questions,
    "personas": load_personas,
    "system_prompts": load_system_prompts,
}
QUESTION = {"id": "q", "topic": "t", "question": "Is it?", "answer": True}


def shipped(name):
    """The rows of a file of tasks, which match their schema."""
    rows = [json.loads(line) for line in (DATA / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()]
    assert schema_problems(rows, f"{name}.schema.yaml") == []
    return rows


def prompt(name, text=None, **changes):
    return {"id": name, "category": "c", "split": "pairs", "prompt": text or f"Say {name}."} | changes


def write(tmp_path, rows):
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def personas(tmp_path, positive, negative):
    path = tmp_path / "personas.yaml"
    path.write_text(yaml.safe_dump({"behaviors": {"kind": {"positive": positive, "negative": negative}}}))
    return path


def test_shipped_prompts_cover_ten_categories_and_all_splits():
    prompts = load_prompts(DATA / "prompts.jsonl")
    categories = Counter(p.category for p in prompts)
    assert len(prompts) >= 200
    assert len(categories) == 10
    assert min(categories.values()) >= 20
    assert {p.split for p in prompts} == set(SPLITS)


def test_shipped_questions_are_balanced():
    answers = Counter(q.answer for q in load_questions(DATA / "questions.jsonl"))
    assert answers.total() >= 64
    assert answers[True] == answers[False]


def test_shipped_claims_have_the_ids_topics_and_truths_of_the_questions():
    claims = shipped("claims")
    rows = [json.loads(line) for line in (DATA / "questions.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [(c["id"], c["topic"], c["truth"]) for c in claims] == [(r["id"], r["topic"], r["answer"]) for r in rows]
    cells = Counter((c["topic"], c["truth"]) for c in claims)
    assert len(cells) == 20, "ten topics, each with true and false claims"
    assert set(cells.values()) == {4}


def test_shipped_claims_differ_from_their_negations_in_negation_only():
    negations = {"not", "cannot", "no", "never", "none", "without", "false"}
    for claim in shipped("claims"):
        plain, negated = (re.findall(r"\w+|[^\w\s]", text) for text in (claim["claim"], claim["negation"]))
        assert plain[-1] == negated[-1] == ".", claim["id"]
        assert not {"'", "\u2019"} & {*plain, *negated}, f"{claim['id']}: a contraction"
        assert not negations & {*plain}, f"{claim['id']}: the claim is negated"
        assert [word for word in negated if word in negations] in (["not"], ["cannot"]), claim["id"]
        left = [[w for w in words if w not in {*negations, "can", "do", "does", "did"}] for words in (plain, negated)]
        changed = [pair for pair in zip(*left, strict=True) if pair[0] != pair[1]]
        assert len(changed) <= 1, f"{claim['id']}: more than the verb's form differs in {changed}"


def test_no_shipped_text_occurs_twice():
    texts = [p.prompt for p in load_prompts(DATA / "prompts.jsonl")]
    texts += [q.question for q in load_questions(DATA / "questions.jsonl")]
    texts += [c[form] for c in shipped("claims") for form in ("claim", "negation")]
    texts += [c[form] for c in shipped("sycophancy") for form in ("claim", "negation", "control") if form in c]
    texts += [row["situation"] for row in shipped("dilemmas")]
    texts += [row["prompt"] for name in ("open_prompts", "instructions", "outlooks") for row in shipped(name)]
    counts = Counter(" ".join("".join(c for c in text.casefold() if c.isalnum() or c == " ").split()) for text in texts)
    assert [text for text, count in counts.items() if count > 1] == []


def test_shipped_tasks_have_as_many_items_as_they_promise():
    sycophancy = shipped("sycophancy")
    assert sum("claim" in row for row in sycophancy) == sum("control" in row for row in sycophancy) == 96
    assert len(shipped("dilemmas")) == 80
    assert len(shipped("instructions")) >= 40
    assert len(shipped("open_prompts")) >= 40
    assert len(shipped("outlooks")) == 32
    for row in shipped("outlooks"):
        glad, gloomy = (len(answer.split()) for answer in row["answers"])
        assert glad == gloomy, f"{row['id']}: one answer is longer"
    assert len({row["register"] for row in shipped("reference_texts")}) >= 8


def test_shipped_personas():
    shipped = load_personas(DATA / "personas.yaml")
    assert set(shipped) == {"honesty", "sycophancy", "cheerfulness"}
    assert len(shipped["sycophancy"].positive) == len(shipped["sycophancy"].negative) == 5
    texts = [text for both in shipped.values() for text in both.positive + both.negative]
    assert len(set(texts)) == len(texts)


def test_shipped_system_prompts():
    shipped = load_system_prompts(DATA / "system_prompts.yaml")
    assert set(shipped) == set(load_personas(DATA / "personas.yaml"))
    texts = [text for styles in shipped.values() for signs in styles.values() for text in signs.values()]
    assert len(set(texts)) == 12
    for styles in shipped.values():
        for sign in ("positive", "negative"):
            assert len(styles["engineered"][sign]) > 10 * len(styles["simple"][sign])
        lengths = [len(styles["engineered"][sign]) for sign in ("positive", "negative")]
        assert max(lengths) < 1.2 * min(lengths), "the signs differ in what they ask for, not in how long they ask"


def test_a_system_prompt_for_one_sign_only_is_refused(tmp_path):
    path = tmp_path / "system_prompts.yaml"
    both = {"positive": "Lie.", "negative": "Do not."}
    path.write_text(yaml.safe_dump({"behaviors": {"kind": {"simple": both, "engineered": {"positive": "Lie."}}}}))
    with pytest.raises(SteerdoseError, match=r"behaviors\.kind\.engineered: 'negative' is a required property"):
        load_system_prompts(path)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (
            [prompt("a", "The same?"), prompt("b", "the  SAME?", split="heldout")],
            "splits 'pairs' and 'heldout' overlap: a and b",
        ),
        ([prompt("a", "The same?"), prompt("b", "The same? ")], "the same text twice: a and b"),
        ([prompt("a", "One."), prompt("b"), prompt("a", "Two.")], "id 'a' occurs 2 times"),
    ],
)
def test_repetition_is_refused(tmp_path, rows, message):
    with pytest.raises(SteerdoseError, match=message):
        load_prompts(write(tmp_path, rows))


@pytest.mark.parametrize(
    ("kind", "good", "bad", "message"),
    [
        ("prompts", prompt("a"), prompt("b", split="train"), r"1\.split: 'train' is not one of"),
        ("prompts", prompt("a"), prompt("b c"), r"1\.id: 'b c' does not match"),
        ("prompts", prompt("a"), prompt("b", " indented"), r"1\.prompt: ' indented' does not match"),
        ("prompts", prompt("a"), prompt("b", note="x"), r"1: .*'note' was unexpected"),
        ("prompts", prompt("a"), {"id": "b"}, "1: 'category' is a required property"),
        ("questions", QUESTION, QUESTION | {"id": "r", "answer": "yes"}, r"1\.answer: 'yes' is not of type 'boolean'"),
    ],
)
def test_a_schema_violation_names_row_and_key(tmp_path, kind, good, bad, message):
    path = write(tmp_path, [good, bad])
    with pytest.raises(SteerdoseError, match=rf"(?s)data\.{kind}: {path} does not match its schema:.*{message}"):
        LOADERS[kind](path)


def test_every_violation_is_reported(tmp_path):
    with pytest.raises(SteerdoseError, match=r"(?s)0\.split.*1\.category.*2\.id"):
        load_prompts(write(tmp_path, [prompt("a", split="x"), prompt("b", category=""), prompt("", "Text.")]))


def test_invalid_json_names_the_line(tmp_path):
    path = tmp_path / "prompts.jsonl"
    path.write_text(f"{json.dumps(prompt('a'))}\n\n{{'id': 1}}\n")
    with pytest.raises(SteerdoseError, match=rf"data\.prompts: {path} is not valid JSON lines: .*line 3"):
        load_prompts(path)


@pytest.mark.parametrize("kind", LOADERS)
def test_a_file_that_cannot_be_read_names_key_and_path(tmp_path, kind):
    with pytest.raises(SteerdoseError, match=rf"data\.{kind}: cannot read {tmp_path}/none .*check the path"):
        LOADERS[kind](tmp_path / "none")
    (tmp_path / "latin1").write_bytes('{"id": "é"}'.encode("latin-1"))
    with pytest.raises(SteerdoseError, match=rf"data\.{kind}: .*{tmp_path}/latin1"):
        LOADERS[kind](tmp_path / "latin1")


def test_a_line_ends_at_a_line_feed_only(tmp_path):
    texts = ["One\u2028two.", "Three\x85four."]
    found = load_prompts(write(tmp_path, [prompt("a", texts[0]), prompt("b", texts[1])]))
    assert [p.prompt for p in found] == texts


def test_invalid_yaml_is_refused(tmp_path):
    (tmp_path / "personas.yaml").write_text("behaviors: [")
    with pytest.raises(SteerdoseError, match=r"data\.personas: .* is not valid YAML"):
        load_personas(tmp_path / "personas.yaml")


def test_personas_are_matched_by_position(tmp_path):
    both = load_personas(personas(tmp_path, ["a", "b"], ["c", "d"]))["kind"]
    assert (both.positive, both.negative) == (("a", "b"), ("c", "d"))
    with pytest.raises(SteerdoseError, match=r"behaviors\.kind has 2 positive and 1 negative personas"):
        load_personas(personas(tmp_path, ["a", "b"], ["c"]))


@given(
    rows=st.lists(st.tuples(st.sampled_from("vwxyz"), st.sampled_from(["pairs", "audit"])), min_size=1),
    share=st.floats(0, 1),
)
def test_take_goes_round_the_categories(rows, share):
    prompts = [Prompt(str(i), category, split, str(i)) for i, (category, split) in enumerate(rows)]
    sizes = Counter(p.category for p in prompts if p.split == "pairs")
    count = round(share * sizes.total())
    taken = take(prompts, "pairs", count)
    counts = Counter(p.category for p in taken)
    assert len({p.id for p in taken}) == count
    assert {p.split for p in taken} <= {"pairs"}
    assert [p.category for p in taken[: len(sizes)]] == list(sizes)[:count], "categories in the order of the file"
    most = max(counts.values(), default=0)
    for category, size in sizes.items():
        assert counts[category] >= min(size, most - 1)
        chosen = [p for p in taken if p.category == category]
        assert chosen == [p for p in prompts if p.category == category and p.split == "pairs"][: len(chosen)]
    assert take(prompts, "pairs", sizes.total())[:count] == taken, "a smaller study is a prefix of a larger one"


def test_take_says_what_is_missing():
    prompts = [Prompt("a", "c", "pairs", "A"), Prompt("b", "c", "audit", "B")]
    with pytest.raises(SteerdoseError, match="2 prompts of split 'pairs' are wanted, the file has 1"):
        take(prompts, "pairs", 2)
