"""Scores of what was written: broken texts have no valence and pass nothing."""

import polars as pl
import pytest
from steerdose.benefit.texts import score_texts
from steerdose.columns import Cell
from steerdose.declarations.passed import SCORES, WRITTEN, WRITTEN_TOKENS
from steerdose.files import read_table, write_json, write_table
from steerdose.study.endpoints import TextEndpoint
from steerdose.study.settings import ScoreTexts
from steerdose.study.tasks import WritingTask

ENDPOINT = TextEndpoint(kind="text", repetition_tokens=8, nll_tokens=4, stretch=3)
KEYS = {"model": "m", "behavior": "b", "seed": 0, "method": "one", "alpha": 1.0, "coefficient": 2.0, "sample": 0}
TEXTS = {"o-01": ("What a lovely day!", range(24), 0.5), "o-02": ("so lovely so lovely", [1, 2] * 12, 0.1),
         "o-03": ("xq zv", range(24), 9.0), "o-04": ("", [], 0.0)}  # fmt: skip


@pytest.fixture
def scored(tmp_path):
    def run(scorer, data, names, endpoint=("text", ENDPOINT)):
        own = list(zip(names, TEXTS.values(), strict=True))
        texts = [
            {**KEYS, "prompt_id": name, "n_tokens": len(ids), "ended": True, "text": text, "key": "k"}
            for name, (text, ids, _) in own
        ]
        tokens = [
            {**KEYS, "prompt_id": name, "t": t, "token_id": i, "kl": 0.0, "nll": nll, "entropy": 0.0}
            for name, (_, ids, nll) in own
            for t, i in enumerate(ids, start=1)
        ]
        paths = {name: str(tmp_path / f"{name}.parquet") for name in ("texts", "tokens", "scores")}
        write_table(pl.DataFrame(texts), paths["texts"], WRITTEN)
        write_table(pl.DataFrame(tokens), paths["tokens"], WRITTEN_TOKENS)
        bands = str(tmp_path / "bands.json")
        write_json({"text": {"bands": {"repetition": 0.5, "nll": 4.0, "joint": 3.0}}}, bands)
        task = WritingTask(kind="writing", data=data, scorer=scorer, window=24, batch_size=4)
        score_texts(
            texts=[paths["texts"]],
            tokens=[paths["tokens"]],
            bands=bands,
            cell=Cell("m", "b", 0, "one"),
            task="t",
            settings=ScoreTexts(task=task, method="one", endpoint=endpoint),
            scores=paths["scores"],
        )
        found = read_table(paths["scores"], SCORES)
        return {metric: part["value"].to_list() for (metric,), part in found.group_by("metric", maintain_order=True)}

    return run


def test_a_loop_word_salad_and_silence_have_no_valence(scored):
    found = scored("valence", "data/open_prompts.jsonl", list(TEXTS))
    assert found["broken"] == [0, 1, 1, 1]
    assert found["valence"][0] > 0.3
    assert found["valence"][1:] == [None] * 3, "the loop has the gladdest words of all"


def test_without_an_endpoint_only_silence_is_broken(scored):
    assert scored("valence", "data/open_prompts.jsonl", list(TEXTS), None)["broken"] == [0, 0, 0, 1]


def test_a_broken_text_passes_nothing(scored):
    found = scored("checks", "data/instructions.jsonl", ["i-01", "i-10", "i-11", "i-04"])
    assert found["passed"][1:] == [0, 0, 0]
