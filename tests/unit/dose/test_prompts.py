"""Prompt baselines on a tiny model: which text is read, against what, and the tables of a dose without one."""

import pytest
import tiny
import yaml
from reference.rollout import generate_one
from steerdose.dose.calibrate import measure_prompt, prompt_targets
from steerdose.dose.kl_statistics import kl_statistics
from steerdose.engine.probe import READINGS, build_probe
from steerdose.engine.requests import ask
from steerdose.errors import SteerdoseError
from steerdose.files import read_json, read_table, write_json
from steerdose.model import chat
from steerdose.model.loading import load_model
from steerdose.outcomes.trajectories import rollout_trajectories
from steerdose.steering.intervention import Intervention, prompted_at
from steerdose.study.texts import load_prompts, load_questions, take

TEXTS = {"positive": "You are honest.", "negative": "Lie, always."}
CELL = {"model": "tiny", "behavior": "honesty", "seed": 0, "method": "simple_prompt"}
DEVICE = {"dtype": "float32", "device": "cpu", "batch_size": 96, "style": "simple"}
MEASURE = {**DEVICE, "statistic": "p95", "n_prompts": 5, "n_audit_prompts": 3, "max_new_tokens": 6}
PROBE = {"kind": "interrupt", "question": "Answer.", "prefill": '{"answer":', "answers": ["true", "false"]}
ROLLOUT = {**DEVICE, "alphas": [-1, 0, 1], "n_questions": 2, "template": "{question} Why?", "window": 6}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tiny.save(tmp_path_factory.mktemp("tiny"))
    write_json({"trust_remote_code": False, "sha256": "0"}, folder / "source.json")
    return str(folder)


@pytest.fixture
def texts(tmp_path):
    path = tmp_path / "system_prompts.yaml"
    path.write_text(yaml.safe_dump({"behaviors": {"honesty": {"simple": TEXTS, "engineered": TEXTS}}}))
    return str(path)


def by_hand(model, user, system, window, times=()):
    """Return the reference's rollout behind the system text and its forks."""
    loaded = load_model(model, dtype="float32", device="cpu")
    ids = chat.prompt_ids(loaded.tokenizer, chat.conversation(user, system))
    base_ids = chat.prompt_ids(loaded.tokenizer, chat.conversation(user))
    probes = {"json": build_probe(loaded.tokenizer, **PROBE)}
    end_ids = chat.end_ids(loaded.tokenizer, loaded.model.generation_config)
    return generate_one(loaded.model, loaded.model, ids, window, end_ids, probes, times, base_ids)


def test_a_request_has_the_prompt_without_its_system_text_as_base():
    tokenizer = tiny.tokenizer()
    plain, prompted = (
        ask(tokenizer, "p", "Who are you?", Intervention(system=system)) for system in (None, "You are Bob.")
    )
    assert not plain.has_twin
    assert prompted.has_twin
    assert prompted.twin_ids == plain.ids == tuple(chat.prompt_ids(tokenizer, chat.conversation("Who are you?")))
    assert tokenizer.decode(prompted.ids).startswith("<|start|>system\nYou are Bob.<|end|>")


def test_a_prompt_has_no_dose():
    with pytest.raises(ValueError, match=r"alphas -1, 0 and 1, found \[1, 1.5\]"):
        prompted_at([1, 1.5], TEXTS)


def test_the_footprint_is_the_kl_of_rollouts_behind_the_text(model, texts, tmp_path):
    table, summary = str(tmp_path / "simple.parquet"), str(tmp_path / "simple.json")
    measure_prompt(
        model=model,
        prompts="data/prompts.jsonl",
        system_prompts=texts,
        cell=CELL,
        settings=MEASURE,
        table=table,
        summary=summary,
    )
    report, frame = read_json(summary), read_table(table)
    assert frame.select("method", "coefficient", "sign", "split", "step", "target").rows() == [
        ("simple_prompt", None, sign, split, 1, None) for sign in TEXTS for split in ("calibration", "audit")
    ]
    every = load_prompts("data/prompts.jsonl")
    for sign, text in TEXTS.items():
        for split, count, key in (("calibration", 5, "statistic"), ("audit", 3, "audit")):
            kl = [value for p in take(every, split, count) for value in by_hand(model, p.prompt, text, 6)[0].kl]
            expected = kl_statistics(kl)
            measured = frame.filter(sign=sign, split=split).row(0, named=True)
            assert {name: measured[name] for name in expected} == pytest.approx(expected, abs=1e-4)
            assert report[sign][key] == measured["p95"] > 0.01
    assert prompt_targets(summary) == {sign: report[sign]["statistic"] for sign in TEXTS}


def test_a_prompt_that_does_not_move_the_model_is_no_target(tmp_path):
    write_json({"positive": {"statistic": 0.3}, "negative": {"statistic": 0.0}}, tmp_path / "none.json")
    with pytest.raises(SteerdoseError, match=r"the negative prompt measured in .*none\.json does not move the model"):
        prompt_targets(str(tmp_path / "none.json"))


def test_rollouts_read_the_text_of_their_sign_and_fork_behind_it(model, texts, tmp_path):
    paths = {name: str(tmp_path / f"{name}.parquet") for name in ("tokens", "trajectories", "forks")}
    rollout_trajectories(
        model=model,
        system_prompts=texts,
        questions="data/questions.jsonl",
        cell=CELL,
        settings={**ROLLOUT, "forks": {"every": 3}, "probes": {"json": PROBE}, "readings": READINGS},
        **paths,
    )
    tokens, trajectories, forks = (read_table(path) for path in paths.values())
    assert set(trajectories.select("alpha", "coefficient").rows()) == {(-1.0, None), (0.0, 0.0), (1.0, None)}
    for question in load_questions("data/questions.jsonl")[:2]:
        for alpha, text in ((-1.0, TEXTS["negative"]), (0.0, None), (1.0, TEXTS["positive"])):
            expected, expected_forks = by_hand(model, f"{question.question} Why?", text, 6, [0, 3, 6])
            place = {"prompt_id": question.id, "alpha": alpha}
            assert tokens.filter(**place)["token_id"].to_list() == expected.token_ids
            assert tokens.filter(**place)["kl"].to_list() == pytest.approx(expected.kl, abs=1e-4)
            found = forks.filter(**place)
            assert found.select("probe", "reading", "t").rows() == [fork[:3] for fork in expected_forks]
            assert found["pmass"].to_list() == pytest.approx([m for *_, m, _ in expected_forks], abs=1e-4)
