"""The audit of the probes on the unsteered model."""

import json
from collections import Counter

import numpy as np
import polars as pl
import pytest
import tiny
from steerdose.columns import Cell
from steerdose.engine.fork_grid import fork_times
from steerdose.errors import SteerdoseError
from steerdose.files import write_json
from steerdose.outcomes.audit import audit_probe, audit_rows
from steerdose.study.probes import Probe
from steerdose.study.rollout import Forks, Trajectories
from steerdose.study.settings import AuditProbe, Run


@pytest.fixture
def audit(tmp_path):
    """Audit two probes on a tiny model; return the summary and the forks."""
    folder = tiny.save(tmp_path / "model")
    write_json({"trust_remote_code": False, "sha256": "0"}, folder / "source.json")
    rows = [{"id": f"q{i}", "topic": "t", "question": f"Is {i} even?", "answer": i % 2 == 0} for i in range(4)]
    (tmp_path / "questions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))

    def run():
        shared = {"prefill": '{"answer":', "answers": ("true", "false")}
        probes = {
            "interrupt": Probe(kind="interrupt", question="Well?", **shared),
            "splice": Probe(kind="splice", question=None, **shared),
        }
        options = Trajectories(
            n_questions=3, window=8, forks=Forks(count=4), batch_size=2, template="{question} Explain."
        )
        audit_probe(
            model=str(folder), questions=str(tmp_path / "questions.jsonl"), cell=Cell("m"),
            settings=AuditProbe(run=Run(dtype="float32", device="cpu"), trajectories=options, probes=probes),
            summary=str(tmp_path / "out/s.json"), forks=str(tmp_path / "out/f.parquet"),
            texts=str(tmp_path / "out/t.json"),
        )  # fmt: skip
        return json.loads((tmp_path / "out/s.json").read_text()), pl.read_parquet(tmp_path / "out/f.parquet")

    return run


def test_the_audit_measures_every_probe_over_all_forks(audit):
    summary, forks = audit()
    columns = ["probe", "reading", "t", "pmass", "p_first", "argmax", "is_answer"]
    assert forks.columns == ["model", "alpha", "coefficient", "prompt_id", "sample", *columns]
    assert set(forks["prompt_id"]) == {"q0", "q1", "q2"}
    assert set(forks["t"]) <= set(fork_times(8, count=4))
    assert forks["pmass"].is_between(0, 1).all()
    assert set(forks["reading"]) == {"steered"}
    assert list(summary) == ["interrupt", "splice"]
    for name, found in summary.items():
        own = forks.filter(probe=name)
        pmass = own["pmass"]
        assert (found["n_forks"], found["n_questions"]) == (len(own), 3)
        assert [found["median_pmass"], found["min_pmass"]] == pytest.approx([pmass.median(), pmass.min()])
        assert [found["q05_pmass"], found["q25_pmass"], found["q75_pmass"]] == pytest.approx(
            np.quantile(pmass, [0.05, 0.25, 0.75]).tolist()
        )
        assert found["pmass_at_0"] == pytest.approx(own.filter(t=0)["pmass"].median())
        counts = Counter(own["argmax"])
        assert all(counts[token] == n for token, n in found["likely"])
        assert [n for _, n in found["likely"]] == sorted(counts.values(), reverse=True)[:5]
    assert summary["interrupt"]["median_pmass"] != summary["splice"]["median_pmass"]


def test_the_rows_of_an_audit_by_hand():
    rows = [("a", "yes", 0, 0.9, 0.8, True), ("a", "no", 0, 0.7, 0.6, False), ("a", "no", 4, 0.2, 0.1, True)]
    rows += [("b", "yes", 0, 0.5, 0.5, False)]
    columns = ["probe", "prompt_id", "t", "pmass", "p_first", "is_answer"]
    truths = {probe: {"no": False, "yes": True} for probe in "ab"}
    first, second = audit_rows(pl.DataFrame(rows, columns, orient="row"), truths).to_dicts()
    assert [first[name] for name in ("probe", "n_questions", "n_forks")] == ["a", 2, 3]
    assert [first["median_pmass"], first["min_pmass"], first["pmass_at_0"]] == pytest.approx([0.7, 0.2, 0.8])
    assert [first["argmax_share"], first["accuracy"]] == pytest.approx([2 / 3, 2 / 3])
    assert (second["argmax_share"], second["accuracy"]) == (0, 0)


def test_a_model_that_ends_at_once_is_refused(audit, tmp_path):
    path = tmp_path / "model/generation_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"eos_token_id": list(range(258))}))
    message = r"empty answer to \['q0', 'q1', 'q2'\] \(3 of 3\).*rollout\.template.*models\.<name>\.chat_template"
    with pytest.raises(SteerdoseError, match=message):
        audit()
    assert not (tmp_path / "out").exists()
