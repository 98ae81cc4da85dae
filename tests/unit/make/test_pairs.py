"""Contrastive pairs: which are kept, who answers as whom, and sampling."""

import re
from collections import Counter
from pathlib import Path

import polars as pl
import pytest
import tiny
import torch
from hypothesis import given
from hypothesis import strategies as st
from steerdose.columns import Cell
from steerdose.errors import SteerdoseError
from steerdose.files import write_json
from steerdose.make.pairs import check_pairs, generate_pairs, pair_grid, sample_answers
from steerdose.model.chat import conversation
from steerdose.model.loading import LoadedModel
from steerdose.study.config import Pairs
from steerdose.study.settings import GeneratePairs, Run
from steerdose.study.texts import Personas, Prompt, load_personas

DATA = Path(__file__).parents[3] / "data"
SETTINGS = Pairs(
    **{"n_prompts": 5, "n_samples": 2, "batch_size": 3, "temperature": 1.0, "top_k": 50, "max_new_tokens": 12},
    **{"max_similarity": 0.9, "max_rejected": 0.5},
)
CONVERSATIONS = [conversation(text, system) for text in ("Hi", "Why is it so?", "No!") for system in (None, "Be kind.")]
WORDS = "one two three four five six seven eight nine ten"


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Threads only cost tiny models time, most of all on a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def loaded():
    return LoadedModel(tiny.model(), tiny.tokenizer(), "0")


def frame(*responses):
    rows = [
        {"prompt": f"prompt {i}", "response_pos": pos, "response_neg": neg} for i, (pos, neg) in enumerate(responses)
    ]
    return pl.DataFrame(rows)


GOOD = [("yes it is", "no never"), ("all good", "quite bad indeed"), ("a b c", "c d e"), ("left", "right")]


@pytest.mark.parametrize(
    ("pos", "neg", "fault"),
    [
        ("", "something", "empty"),
        ("something", "", "empty"),
        ("the same words", "the  same\nwords", "identical"),
        (WORDS, WORDS.replace("five", "5"), "not diverging"),
    ],
)
def test_a_faulty_pair_is_left_out_or_stops_the_workflow(pos, neg, fault):
    pairs = frame(*GOOD[:2], (pos, neg), *GOOD[2:])
    assert check_pairs(pairs, max_similarity=0.8, max_rejected=0.2).equals(frame(*GOOD).with_columns(
        prompt=pl.Series(["prompt 0", "prompt 1", "prompt 3", "prompt 4"])
    ))  # fmt: skip
    message = (
        rf"1 of 5 pairs .* \(allowed: 10%\)\. Examples:\n  {fault}: 'prompt 2'\n    positive: '{re.escape(pos)}'\n"
        rf"    negative: '{re.escape(neg)}'\n.*data\.personas.*pairs\.temperature.*pairs\.max_new_tokens"
    )
    with pytest.raises(SteerdoseError, match=message):
        check_pairs(pairs, max_similarity=0.8, max_rejected=0.1)


def test_similarity_is_the_share_of_common_words():
    pairs = frame((WORDS, WORDS.replace("five", "5")))  # 9 of 10 words in common
    assert len(check_pairs(pairs, max_similarity=0.9, max_rejected=0)) == 1
    assert len(check_pairs(pairs, max_similarity=0.89, max_rejected=1)) == 0


def personas(count):
    return Personas(tuple(f"good {i}" for i in range(count)), tuple(f"bad {i}" for i in range(count)))


@given(n_prompts=st.integers(1, 30), n_samples=st.integers(1, 6), n_personas=st.integers(1, 6))
def test_every_persona_is_used_equally_often(n_prompts, n_samples, n_personas):
    prompts = [Prompt(f"p{i}", "c", "pairs", f"Prompt {i}") for i in range(n_prompts)]
    rows = pair_grid(prompts, personas(n_personas), n_samples)
    assert Counter((row["prompt_id"], row["sample"]) for row in rows) == Counter(
        {(prompt.id, sample): 1 for prompt in prompts for sample in range(n_samples)}
    )
    assert all(row["persona_neg"] == row["persona_pos"].replace("good", "bad") for row in rows)
    used = Counter({f"good {i}": 0 for i in range(n_personas)})
    used.update(row["persona_pos"] for row in rows)
    assert max(used.values()) - min(used.values()) <= 1


def test_sampling_depends_on_the_seed_alone(loaded):
    answers = sample_answers(loaded, CONVERSATIONS, SETTINGS, seed=1)
    torch.manual_seed(5)
    assert sample_answers(loaded, CONVERSATIONS, SETTINGS, seed=1) == answers
    assert sample_answers(loaded, CONVERSATIONS, SETTINGS, seed=2) != answers
    assert len(answers) == len(CONVERSATIONS)
    assert all(answer == answer.strip() and "<|" not in answer for answer in answers)


def test_settings_that_come_with_a_model_change_no_answer(loaded):
    expected = sample_answers(loaded, CONVERSATIONS, SETTINGS, seed=1)
    model = tiny.model()
    model.generation_config.update(repetition_penalty=5.0, top_p=0.01, suppress_tokens=list(range(100)))
    theirs = model.generation_config
    assert sample_answers(LoadedModel(model, tiny.tokenizer(), "0"), CONVERSATIONS, SETTINGS, seed=1) == expected
    assert model.generation_config is theirs


def test_the_models_own_ends_of_turn_end_an_answer():
    model = tiny.model()
    model.generation_config.eos_token_id = list(range(258))
    answers = sample_answers(LoadedModel(model, tiny.tokenizer(), "0"), CONVERSATIONS, SETTINGS, seed=1)
    assert max(map(len, answers)) <= 1


def test_left_padding_does_not_change_an_answer(loaded):
    together, alone = (SETTINGS.model_copy(update={"top_k": 1, "batch_size": size}) for size in (6, 1))
    together, alone = (sample_answers(loaded, CONVERSATIONS, greedy, seed=1) for greedy in (together, alone))
    assert together == alone
    assert len(set(together)) > 1


def test_generate_pairs_writes_the_table(tmp_path):
    folder = tiny.save(tmp_path / "model")
    write_json(
        {"source": "tiny", "revision": None, "trust_remote_code": False, "source_sha256": "0", "sha256": "0"},
        folder / "source.json",
    )
    settings = GeneratePairs(run=Run(dtype="float32", device="cpu"), pairs=SETTINGS)

    def generate(name):
        generate_pairs(
            model=str(folder), prompts=str(DATA / "prompts.jsonl"), personas=str(DATA / "personas.yaml"),
            cell=Cell("m", "sycophancy", 3), settings=settings, pairs=str(tmp_path / name),
        )  # fmt: skip
        return pl.read_parquet(tmp_path / name)

    pairs = generate("pairs.parquet")
    columns = ["prompt", "category", "persona_pos", "persona_neg", "response_pos", "response_neg"]
    assert pairs.columns[:4] == ["model", "behavior", "seed", "prompt_id"]
    assert sorted(pairs.columns[4:]) == sorted([*columns, "sample"])
    assert pairs.select("model", "behavior", "seed").unique().rows() == [("m", "sycophancy", 3)]
    assert pairs["prompt_id"].n_unique() == pairs["category"].n_unique() == 5
    assert 5 < len(pairs) <= 10
    both = load_personas(DATA / "personas.yaml")["sycophancy"]
    opposed = dict(zip(both.positive, both.negative, strict=True))
    assert all(opposed[pos] == neg for pos, neg in pairs.select("persona_pos", "persona_neg").iter_rows())
    assert (pairs["response_pos"] != pairs["response_neg"]).all()
    assert generate("again.parquet").equals(pairs)
