"""Texts to read: which are chosen, where they are cut, and that nothing in them acts on the page."""

import re
from html import unescape
from itertools import product
from pathlib import Path

import browser
import polars as pl
import pytest
import tiny
from hypothesis import given
from hypothesis import strategies as st
from reference import reading as twin
from steerdose.pages.reading import (
    LEVELS,
    STEP,
    deadly_dose,
    doses_to_read,
    excerpt,
    method_section,
    prompts_to_read,
    shaded,
    split_text,
    with_pmass,
)
from steerdose.pages.render import render
from steerdose.study.texts import Question

TEMPLATE = Path(__file__).parents[3] / "workflow_scripts/steerdose/pages/templates/reading.html"
KEYS = {"model": "m", "behavior": "b", "seed": 0, "method": "lora"}
HOSTILE = (
    "<script>document.title = 'owned'</script><img src=x onerror=\"document.title='owned'\">"
    "</p></div></body>&lt;b&gt;&amp;\"'<!-- {{ 7 * 7 }} {% for %} \x1b[31mred\x00\x07\u202eevil\u2066x\u2028y -->"
    "<style>*{display:none}"
)


def lives(deaths, window=16, prompts=4):
    """Lifetimes from {alpha: times of death, one a prompt, None for survivors}."""
    rows = [
        KEYS | {"alpha": float(alpha), "coefficient": 2.0 * alpha, "prompt_id": f"q{i}", "sample": 0}
        | {"duration": window if t is None else t, "died": t is not None, "ended": False}
        | {"endpoint": "text", "recovered": False, "damage": None if t is None else "readout"}
        for alpha, times in deaths.items()
        for i, t in enumerate(times)
    ]  # fmt: skip
    return pl.DataFrame(rows)


ALL, NONE = [0, 1, 2, 3], [None] * 4
ONE, HALF = [3, None, None, None], [3, None, 5, None]


@pytest.mark.parametrize(
    ("deaths", "sign", "dose", "word"),
    [
        ({0: ALL, 1: NONE, 2: ONE, 3: ALL}, "positive", 3.0, "weakest dose at which half"),
        ({0: NONE, 1: HALF, 2: NONE}, "positive", 1.0, "weakest dose at which half"),
        ({0: ALL, 1: NONE, 2: ONE, 3: ONE}, "positive", 2.0, "most died"),
        ({0: ALL, 1: NONE, 2: NONE}, "positive", 2.0, "strongest"),
        ({-3: ALL, -1: HALF, -0.5: NONE, 0: NONE, 1: ALL}, "negative", -1.0, "weakest"),
        ({-2: NONE, -1: NONE, 0: NONE}, "negative", -2.0, "strongest"),
    ],
)
def test_the_deadly_dose_is_the_weakest_at_which_any_died_or_else_the_strongest(deaths, sign, dose, word):
    found, reason = deadly_dose(lives(deaths), sign)
    assert found == dose
    assert word in reason
    assert deadly_dose(lives(deaths).reverse(), sign) == (found, reason)


def test_without_a_dose_of_a_sign_none_is_the_first():
    assert deadly_dose(lives({0: ALL, 1: ALL}), "negative") is None


def test_doses_to_read_are_unsteered_then_each_sign_from_the_weakest():
    found = doses_to_read(lives({-2: ALL, -1: NONE, 0: NONE, 0.5: NONE, 1: NONE, 2: HALF, 3: ALL}))
    assert list(found) == [0, 1, 2, -1, -2]
    assert found[1] == "the calibrated dose"
    assert list(doses_to_read(lives({0: NONE}))) == [0]
    both = doses_to_read(lives({0: NONE, 1: ALL}))
    assert both[1] == "the calibrated dose; the weakest dose at which half died"


def test_a_prompt_shows_its_texts_and_no_dose():
    prompt = lives({-1: ALL, 0: NONE, 1: ALL}).with_columns(
        coefficient=pl.when(pl.col("alpha") == 0).then(0.0).otherwise(None)
    )
    assert doses_to_read(prompt) == {0: "", 1: "the positive text", -1: "the negative text"}


def test_prompts_run_from_the_first_to_die_to_the_last_to_live():
    cohort = lives({0: NONE, 2: [5, None, 2, 5], 3: ALL})
    assert prompts_to_read(cohort, 2) == ["q2", "q1"]
    assert prompts_to_read(cohort, 3) == ["q2", "q3", "q1"]
    assert prompts_to_read(cohort, 4) == prompts_to_read(cohort, 99) == ["q2", "q0", "q3", "q1"]
    assert prompts_to_read(cohort.sample(fraction=1, shuffle=True, seed=3), 4) == ["q2", "q0", "q3", "q1"]


@pytest.mark.parametrize(
    ("n", "death", "most", "expected"),
    [
        (10, None, 20, (0, 10)),
        (100, None, 20, (0, 20)),
        (100, 0, 20, (0, 20)),
        (100, 50, 20, (40, 60)),
        (100, 99, 20, (80, 100)),
        (0, 0, 20, (0, 0)),
        (5, 5, 20, (0, 5)),
    ],
)
def test_an_excerpt_holds_the_death(n, death, most, expected):
    assert excerpt(n, death, most) == expected


@pytest.mark.parametrize("text", ["plain", "naïve — 日本 👩‍👩‍👧 e\u0301", "�", "a\n\n b"])
def test_tokens_split_a_text_without_breaking_characters(text):
    tokenizer = tiny.tokenizer()
    ids = tokenizer(text).input_ids
    pieces = split_text(tokenizer, ids, 0, len(ids))
    assert len(pieces) == len(ids) == len(text.encode())
    assert "".join(pieces) == text
    for first, last in product(range(len(ids) + 1), repeat=2):
        if first <= last:
            part = split_text(tokenizer, ids, first, last)
            assert "".join(part) == "".join(pieces[first:last])


def test_bytes_that_are_no_character_are_shown_as_such():
    tokenizer = tiny.tokenizer()
    ids = [*tokenizer("日a").input_ids[1:], tokenizer("日").input_ids[0]]
    assert "".join(split_text(tokenizer, ids, 0, len(ids))) == tokenizer.decode(ids)


TOKENIZER = tiny.tokenizer()
WORDS = [TOKENIZER(text).input_ids for text in ("a", " b", "日", "👩‍👩‍👧", "�", "<|end|>")]
words = st.lists(st.one_of(st.sampled_from(WORDS), st.lists(st.integers(0, len(TOKENIZER) - 1), max_size=20)))


@given(words, st.data())
def test_texts_of_tokens_are_those_of_the_whole_decoded_up_to_each(parts, data):
    ids = [token for part in parts for token in part]
    last = data.draw(st.integers(0, len(ids)))
    first = data.draw(st.integers(0, last))
    assert split_text(TOKENIZER, ids, first, last) == twin.split_text(TOKENIZER, ids, first, last)


def test_a_character_of_many_bytes_and_many_that_are_none_stand_whole_at_every_border():
    ids = [*TOKENIZER("日" * STEP).input_ids, *TOKENIZER("日").input_ids[1:2] * 3 * STEP, *TOKENIZER("ab").input_ids]
    for first in range(len(ids)):
        assert split_text(TOKENIZER, ids, first, len(ids)) == twin.split_text(TOKENIZER, ids, first, len(ids))


def test_shades_join_neighbours_of_one_level():
    low, high = LEVELS[0], LEVELS[-1]
    kl = [0.0, low - 0.01, low, low, high, 0.0]
    assert shaded(["a", "b", "c", "d", "e", "f"], kl) == [("ab", 0), ("cd", 1), ("e", 3), ("f", 0)]
    assert shaded([], []) == []


def test_the_pmass_is_that_of_the_death_or_of_the_last_fork():
    cohort = lives({1: [2, None, 0, None]})
    forks = pl.concat(
        [cohort.select(*KEYS, "alpha", "coefficient", "prompt_id", "sample").with_columns(t=t, pmass=t / 100 + 0.1)
         for t in (0, 2, 16)]
    )  # fmt: skip
    assert with_pmass(forks, cohort)["pmass"].round(6).to_list() == [0.12, 0.26, 0.1, 0.26]


def page(texts, deaths, n_tokens=1000):
    """The page of a study of one method: texts by alpha, all of one question."""
    tokenizer = tiny.tokenizer()
    ids = {alpha: tokenizer(text, add_special_tokens=False).input_ids for alpha, text in texts.items()}
    cohort = lives({alpha: [deaths.get(alpha)] for alpha in texts}, prompts=1).with_columns(pmass=0.25)
    rows = [
        KEYS | {"alpha": float(alpha), "coefficient": 2.0 * alpha, "prompt_id": "q0", "sample": 0}
        | {"t": t, "token_id": token, "kl": (t % 5) / 2}
        for alpha, tokens in ids.items()
        for t, token in enumerate(tokens, start=1)
    ]  # fmt: skip
    section = method_section(tokenizer, pl.LazyFrame(rows), cohort, 1, n_tokens)
    questions = {"q0": Question("q0", "topic", f"Is this safe? {HOSTILE}", True)}
    cell = {"model": "m", "behavior": "b", "seed": 0}
    study = {"cell": cell, "endpoint": "text", "questions": questions, "threshold": 0.7, "levels": LEVELS}
    return render(TEMPLATE, sections=[section], **study)


def texts_of(html):
    """What a reader sees of the texts, each up to its box and behind it."""
    found = re.findall(r'<p class="text" dir="auto">(.*?)</p>', html, re.DOTALL)
    return [[unescape(re.sub(r"<[^>]*>", "", part)) for part in re.split(r"<mark.*?</mark>", text)] for text in found]


def test_the_box_stands_at_the_death_and_no_text_is_lost():
    html = page({0: "all is well", 1: "it is fine", 2: "it is gone"}, {2: 6})
    assert texts_of(html) == [["all is well"], ["it is fine"], ["it is ", "gone"]]
    assert html.count("died at t = 6, pmass 0.250, readout damaged") == 1
    assert html.count("unbroken, pmass") == 2


def test_a_death_before_the_first_token_and_a_long_text():
    html = page({0: "abcdefghij", 2: "abcdefghij"}, {2: 0}, n_tokens=4)
    assert texts_of(html) == [["abcd [6 tokens more]"], ["", "abcd [6 tokens more]"]]
    html = page({0: "abcdefghij", 2: "abcdefghij"}, {2: 8}, n_tokens=4)
    assert texts_of(html)[1] == ["[6 tokens before] gh", "ij"]


def test_hostile_text_is_shown_and_never_runs(tmp_path):
    html = page({0: HOSTILE, 2: HOSTILE}, {2: 30})
    unguarded, removed = re.subn(r"<meta http-equiv.*?>", "", html)  # the escaping must hold without the policy, too
    assert removed == 1
    path = tmp_path / "reading.html"
    path.write_text(unguarded, encoding="utf-8")
    shown = browser.visit(path, "return [...document.querySelectorAll('.text')].map(each => each.textContent)")
    assert shown.title == "Reading: m, b, 0"
    assert shown.requests == []
    tags = "return [...document.body.querySelectorAll('script, img, style, b')].length"
    assert browser.visit(path, tags).found == 1  # the test's own script
    asked = browser.visit(path, "return document.querySelector('h3').textContent").found
    seen = HOSTILE
    for character in "\x1b\x00\x07\u202e\u2066\u2028":
        seen = seen.replace(character, f"⟨U+{ord(character):04X}⟩")
    assert shown.found[0] == seen
    assert asked == f"Is this safe? {seen} (yes; q0)"
    assert shown.found[1].replace("died at t = 30, pmass 0.250, readout damaged", "") == seen
