"""Configs that nobody means: drawn ones, and those that were once accepted or ended in a traceback."""

import copy
import json

import pytest
import yaml
from hypothesis import given, note, settings
from hypothesis import strategies as st
from steerdose.errors import SteerdoseError
from steerdose.study.load import load_study
from steerdose.study.plan import Plan
from steerdose.study.slices import Slices
from study_examples import CONFIG, ROOT, changed, refused

NONSENSE = [
    ("rollout.window", 10**30, "rollout.window: input should be less than or equal to 1000000"),
    ("rollout.forks", {"count": 500}, "rollout: forks: there are 129 places, from 0 to the window; ask for fewer"),
    ("rollout.forks", {"every": 129}, "rollout: forks: there are 129 places, from 0 to the window; ask for fewer"),
    ("rollout.alphas", [0], "rollout.alphas: 0 alone is the unsteered model; add a dose, for example 1"),
    ("rollout.alphas", [0, 1e300], "rollout.alphas: [1e+300]: doses are in units of the calibrated one, from 0.001"),
    ("rollout.alphas", [0, -1e-300], "rollout.alphas: [-1e-300]: doses are in units of the calibrated one, from 0.0"),
    ("probes.yes_no.answers", ["true", "truer"], "probes.yes_no.answers: 'truer' begins with 'true', so an answer"),
    ("probes.yes_no.answers", ["no", " not"], "probes.yes_no.answers: 'not' begins with 'no', so an answer"),
    ("survival.confidence", 1e-9, "survival.confidence: input should be greater than or equal to 0.5"),
    ("calibration.tolerance", 1e-12, "calibration.tolerance: input should be greater than or equal to 0.0001"),
    ("calibration.target", 1e9, "calibration.target: input should be less than or equal to 1000"),
    ("pairs.temperature", 1e-30, "pairs.temperature: input should be greater than or equal to 0.0001"),
    ("study.seeds", [10**30], "study.seeds.0: input should be less than 2147483648"),
    ("methods.lora\n", CONFIG["methods"]["lora"], "methods: the key 'lora\\n' holds a control character; remove it"),
    ("methods.-rf", CONFIG["methods"]["lora"], "methods.-rf: string should match pattern"),
    ("methods." + "m" * 101, CONFIG["methods"]["lora"], f"methods.{'m' * 101}: string should match pattern"),
    ("methods.LoRA", CONFIG["methods"]["lora"], "methods.LoRA: differs from 'lora' in upper and lower case alone"),
    ("methods.lora.options", {"r": 4, "lora_alfa": 8}, "methods.lora.options.lora_alfa: LORA of PEFT has no such op"),
    ("methods.lora.training.learning_rate", 1e9, "methods.lora.training.learning_rate: input should be less than or"),
    ("models.smollm2.source", "no/such/folder", "models.smollm2.source: model source 'no/such/folder' is neither an"),
    ("models.smollm2.source", "a\0b", "models.smollm2.source: holds the control character '\\x00'; remove it"),
    ("models.smollm2.source", "owner/name", "models.smollm2.source: model source 'owner/name' is a hub id: give mo"),
    ("models.smollm2.quantization", "3bit", "models.smollm2.quantization: input should be '8bit' or '4bit'"),
    ("data.prompts", "a\0b", "data.prompts: holds the control character '\\x00'; remove it"),
]
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.integers(min_value=10**20) | st.floats() | st.text(max_size=20)
    | st.sampled_from(["..", "/", "{", "null", "a b", "\0", "1e3", "x" * 5000, -1, 0, 1.0, 16.0, 10**400]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8) | st.integers(), inner, max_size=3),
    max_leaves=6,
)  # fmt: skip


@pytest.fixture(autouse=True)
def root(monkeypatch, tmp_path):
    (tmp_path / "data").symlink_to(ROOT / "data")
    monkeypatch.chdir(tmp_path)  # where no model is resolved


@pytest.mark.parametrize(("key", "value", "line"), NONSENSE)
def test_nonsense_is_refused_in_one_line_with_its_key(key, value, line):
    assert [found[: len(line)] for found in refused(changed(**{key: value}))] == [line]


def test_a_cycle_of_anchors_is_refused():
    config = changed(device="cpu")
    config["methods"]["lora"]["options"]["inner"] = config["methods"]
    assert "is nested without end" in refused(config)[0]


def test_a_key_given_twice_is_refused_with_file_and_lines(tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text("rollout:\n  window: 16\n  batch_size: 4\n  window: 32\nstudy: &s {seeds: [0]}\nagain: *s\n")
    assert refused(changed(device="cpu"), [file]) == [f"{file}: the key 'window' is given twice, in lines 2 and 4"]


def test_the_shipped_files_give_no_key_twice():
    files = [ROOT / "config.yaml", *(ROOT / "studies").glob("*.yaml"), *(ROOT / "tests/config").glob("*.yaml")]
    assert load_study(changed(device="cpu"), files)


def places(node, place=()):
    """Yield the place of every value of a config."""
    for key, value in node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ():
        yield (*place, key)
        yield from places(value, (*place, key))


PLACES = list(places(CONFIG))
COUNTS = {"accepted": 0, "refused": 0}


@given(place=st.sampled_from(PLACES), value=VALUES, how=st.sampled_from(["replaced", "removed", "added"]))
@settings(max_examples=400)
def test_a_mutated_config_is_a_plan_or_lines_with_keys_and_never_a_traceback(place, value, how):
    config = copy.deepcopy(CONFIG)
    node = config
    for key in place[:-1]:
        node = node[key]
    if how == "replaced":
        node[place[-1]] = value
    elif how == "removed":
        del node[place[-1]]
    elif isinstance(node, dict):
        node["added"] = value
    note(f"{place} {how} {value!r}")
    try:
        study = load_study(config)
    except SteerdoseError as error:
        COUNTS["refused"] += 1
        _, *lines = str(error).splitlines()
        keys = [line.strip().partition(": ")[0] for line in lines]
        assert all(key == "top level" or str(key).split(".")[0] in {*map(str, CONFIG), "added"} for key in keys), error
        return
    COUNTS["accepted"] += 1
    plan = Plan(study)
    assert Slices(study, plan)
    assert json.loads(study.text()), "what is accepted can be written"


def test_the_drawn_configs_were_of_both_kinds(capsys):
    if not sum(COUNTS.values()):
        pytest.skip("none was drawn in this run")
    with capsys.disabled():
        print(f" {len(NONSENSE)} configs of nonsense, {sum(COUNTS.values())} drawn: {COUNTS}")
    assert min(COUNTS.values()) > 20


def test_what_yaml_makes_of_odd_spellings_is_refused(tmp_path):
    """1e3 is a text in YAML, 0o17 a number, yes a text: what is no number where one is wanted is told."""
    for text in ("1e3", "0o17x", "12:30:45x", "~", "[1]", "1_0x"):
        config = changed(device="cpu")
        config["rollout"]["window"] = yaml.safe_load(text)
        assert refused(config)[0].startswith("rollout.window: ")
