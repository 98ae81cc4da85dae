"""Rollouts of questions as tables: every alpha of a steering, and the texts of a prompt."""

import pytest
from engine_examples import direction
from prompt_examples import CELL, DEVICE, PROBE, TEXTS, by_hand, save_model, save_texts
from reference.rollout import generate_one, steered_copy
from steerdose.engine.probe import READINGS, build_probe
from steerdose.files import read_table, write_json
from steerdose.model import chat
from steerdose.model.loading import load_model
from steerdose.outcomes.trajectories import rollout_trajectories
from steerdose.study.texts import load_questions

ROLLOUT = {**DEVICE, "alphas": [-1, 0, 1], "n_questions": 2, "template": "{question} Why?", "window": 6}
PROBES = {"forks": {"every": 3}, "probes": {"json": PROBE}, "readings": READINGS}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return save_model(tmp_path_factory.mktemp("tiny"))


@pytest.fixture
def texts(tmp_path):
    return save_texts(tmp_path / "system_prompts.yaml")


def test_rollouts_read_the_text_of_their_sign_and_fork_behind_it(model, texts, tmp_path):
    paths = {name: str(tmp_path / f"{name}.parquet") for name in ("tokens", "trajectories", "forks")}
    rollout_trajectories(
        model=model,
        system_prompts=texts,
        questions="data/questions.jsonl",
        cell=CELL,
        settings={**ROLLOUT, **PROBES},
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


def test_rollouts_of_a_steering_are_at_the_multiples_of_each_signs_dose(model, tmp_path):
    loaded = load_model(model, dtype="float32", device="cpu")
    steering = direction(loaded.model)
    steering.save(tmp_path / "direction.safetensors")
    write_json({"positive": {"c_star": 2.0}, "negative": {"c_star": 3.0}}, tmp_path / "direction.json")
    paths = {name: str(tmp_path / f"{name}.parquet") for name in ("tokens", "trajectories", "forks")}
    rollout_trajectories(
        model=model,
        steering=str(tmp_path / "direction.safetensors"),
        calibration=str(tmp_path / "direction.json"),
        questions="data/questions.jsonl",
        cell={**CELL, "method": "direction"},
        settings={**ROLLOUT, **PROBES, "alphas": [0, 1.5, -1]},
        **paths,
    )
    tokens, trajectories, forks = (read_table(path) for path in paths.values())
    doses = {(0.0, 0.0), (1.5, 3.0), (-1.0, -3.0)}
    assert set(trajectories.select("alpha", "coefficient").rows()) == doses
    probes, ends = {"json": build_probe(loaded.tokenizer, **PROBE)}, frozenset([0])
    for question in load_questions("data/questions.jsonl")[:2]:
        ids = chat.prompt_ids(loaded.tokenizer, chat.conversation(f"{question.question} Why?"))
        for alpha, coefficient in doses:
            steered = steered_copy(loaded.model, steering, coefficient)
            expected, expected_forks = generate_one(loaded.model, steered, ids, 6, ends, probes, [0, 3, 6])
            place = {"prompt_id": question.id, "alpha": alpha}
            assert tokens.filter(**place)["token_id"].to_list() == expected.token_ids
            assert tokens.filter(**place)["kl"].to_list() == pytest.approx(expected.kl, abs=1e-4)
            assert forks.filter(**place)["pmass"].to_list() == pytest.approx(
                [m for *_, m, _ in expected_forks], abs=1e-4
            )
