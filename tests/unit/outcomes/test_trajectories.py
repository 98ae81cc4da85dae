"""Rollouts of questions as tables: every alpha of a steering, the texts of a prompt, and what is not done again."""

from functools import partial

import pytest
from engine_examples import direction
from prompt_examples import CELL, PROBE, RUN, TEXTS, by_hand, save_model, save_texts
from reference.rollout import generate_one, steered_copy
from steerdose.declarations.passed import FORKS, KEYED_TRAJECTORIES, TOKENS
from steerdose.engine.probe import READINGS, build_probe
from steerdose.files import read_table, write_json
from steerdose.model import chat
from steerdose.model.loading import load_model
from steerdose.outcomes import trajectories as module
from steerdose.outcomes.trajectories import rollout_trajectories
from steerdose.study.rollout import Forks, Trajectories
from steerdose.study.settings import RolloutTrajectories, Subject
from steerdose.study.texts import load_questions

TABLES = {"tokens": TOKENS, "trajectories": KEYED_TRAJECTORIES, "forks": FORKS}
OPTIONS = Trajectories(n_questions=2, template="{question} Why?", window=6, batch_size=96, forks=Forks(every=3))
SETTINGS = RolloutTrajectories(
    run=RUN, trajectories=OPTIONS, probes={"json": PROBE}, readings=READINGS, alphas=(-1.0, 0.0, 1.0),
    methods={"simple_prompt": Subject(style="simple")}, first=0, last=2,
)  # fmt: skip


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return save_model(tmp_path_factory.mktemp("tiny"))


@pytest.fixture
def roll(model, tmp_path):
    """Roll out with SETTINGS, changed; return the three tables."""
    paths = {name: str(tmp_path / f"{name}.parquet") for name in TABLES}

    def run(*, steering=(), doses=(), **changes):
        rollout_trajectories(
            model=model, steering=list(steering), doses=list(doses), questions="data/questions.jsonl",
            system_prompts=[save_texts(tmp_path / "system_prompts.yaml")], cell=CELL, code="1",
            settings=SETTINGS.model_copy(update=changes), **paths,
        )  # fmt: skip
        return [read_table(path, TABLES[name]) for name, path in paths.items()]

    return run


@pytest.fixture
def directed(model, roll, tmp_path):
    """The same for a steering, with the steering."""
    steering = direction(load_model(model).model)
    steering.save(tmp_path / "direction.safetensors")
    found = {"direction": {"positive": {"c_star": 2.0}, "negative": {"c_star": 3.0}}}
    write_json(found, tmp_path / "search.json")
    files = {"steering": [str(tmp_path / "direction.safetensors")], "doses": [str(tmp_path / "search.json")]}
    return steering, partial(roll, **files, methods={"direction": Subject(target=1.0)})


def test_rollouts_read_the_text_of_their_sign_and_fork_behind_it(model, roll):
    tokens, trajectories, forks = roll()
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


def test_rollouts_of_a_steering_are_at_the_multiples_of_each_signs_dose(model, directed):
    steering, run = directed
    tokens, trajectories, forks = run(alphas=(0.0, 1.5, -1.0))
    doses = {(0.0, 0.0), (1.5, 3.0), (-1.0, -3.0)}
    assert set(trajectories.select("alpha", "coefficient").rows()) == doses
    loaded = load_model(model)
    probes, ends = {"json": build_probe(loaded.tokenizer, **PROBE.model_dump())}, frozenset([0])
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


@pytest.fixture
def asked(monkeypatch):
    """How many trajectories each call rolls out."""
    found, original = [], module.generate
    monkeypatch.setattr(
        module,
        "generate",
        lambda loaded, requests, **rest: found.append(len(requests)) or original(loaded, requests, **rest),
    )
    return found


def test_one_more_question_rolls_out_that_question_alone(directed, asked):
    _, run = directed
    options = OPTIONS.model_copy(update={"batch_size": 4})  # two questions, at two doses each
    first = run(alphas=(0.0, 1.5), trajectories=options)
    more = run(alphas=(0.0, 1.5), last=3, trajectories=options.model_copy(update={"n_questions": 3}))
    assert asked == [4, 0, 2]
    assert more[1].head(4).equals(first[1])


def test_one_more_dose_rolls_out_that_dose_alone(directed, asked):
    _, run = directed
    first = run(alphas=(0.0, 1.5))
    more = run(alphas=(0.0, 0.5, 1.5))
    assert asked == [4, 2]
    assert more[1]["alpha"].to_list() == [0.0, 0.5, 1.5] * 2, "in the planned order"
    for old, new in zip(first, more, strict=True):
        assert new.filter(new["alpha"] != 0.5).equals(old)
