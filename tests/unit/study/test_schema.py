"""The schema that editors read: fresh, named in the config, and of one mind with the study about what is accepted."""

import copy
import json

import pytest
from jsonschema import Draft202012Validator
from steerdose.study.schema import config_schema, schema_text
from study_examples import CONFIG, ROOT, activation, changed, imported, overlaid, parts

FILE = ROOT / "workflow_scripts/schemas/config.schema.json"
VALIDATOR = Draft202012Validator(config_schema())
ALTERNATIVES = {
    "rollout.forks.count",  # to rollout.forks.every
    "methods.*.target",  # to calibration.target
    "methods.*.positions",  # to positions
    "comparisons.*",  # the default is said in the schema
    "subspaces.switches.*",  # the mode says it
    # kind import is shown in a comment
    *(f"methods.*.{key}" for key in ("format", "positive", "negative", "ignore", "layers")),
    *(f"methods.*.{key}" for key in ("by", "names", "drop")),  # kind parts is in the documentation
    *(f"tasks.*.{key}" for key in ("prefill", "cluster", "n_items")),  # so are public layouts
}


def problems(config):
    return [error.message for error in VALIDATOR.iter_errors(json.loads(json.dumps(config)))]


def leaves(schema, path=""):
    """Yield the path of every key that the schema knows and that holds no further keys; * is a name."""
    if "$ref" in schema:
        yield from leaves(config_schema()["$defs"][schema["$ref"].rpartition("/")[2]], path)
    elif "oneOf" in schema:
        for kind in schema["oneOf"]:
            yield from leaves(kind, path)
    elif "properties" in schema:
        for key, value in schema["properties"].items():
            yield from leaves(value, f"{path}.{key}".lstrip("."))
    elif "patternProperties" in schema:
        for value in schema["patternProperties"].values():
            yield from leaves(value, f"{path}.*")
    else:
        yield path


def occurs(node, keys):
    if not keys:
        return True
    if not isinstance(node, dict):
        return False
    inside = node.values() if keys[0] == "*" else [node[keys[0]]] if keys[0] in node else []
    return any(occurs(value, keys[1:]) for value in inside)


def test_the_committed_schema_is_the_one_that_the_study_gives():
    assert FILE.read_text(encoding="utf-8") == schema_text(), "run `make generated`"


def test_the_config_names_its_schema_in_the_first_line():
    first = (ROOT / "config.yaml").read_text().splitlines()[0]
    assert first == f"# yaml-language-server: $schema={FILE.relative_to(ROOT)}"


def test_the_shipped_configs_match():
    Draft202012Validator.check_schema(config_schema())
    assert problems(CONFIG) == []
    overlays = [*(ROOT / "studies").glob("*.yaml"), *(ROOT / "tests/config").glob("*.yaml")]
    assert len(overlays) >= 3
    assert [overlay for overlay in overlays if problems(overlaid(overlay))] == []


@pytest.mark.parametrize(
    "good",
    [
        {"methods.p": parts("9-23", 3)},
        {"methods.theirs": imported(delta="bisector", negative="data")},
        {"calibration.target": {"prompt": "simple_prompt"}},
        {"comparisons": {"a": ["lora", "mean_diff"]}},
        {"methods.c": activation("chars", regularisation=1.5)},
    ],
    ids=str,
)
def test_what_the_study_accepts_matches(good):
    assert problems(changed(**good)) == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"rollout.widow": 3},
        {"sweep": {}},
        {"methods.lora.training.setps": 3},
        {"rollout.window": 1.5},
        {"rollout.window": 0},
        {"device": "gpu"},
        {"methods.lora.peft_type": "LORAX"},
        {"methods.mean_diff.kind": "vector"},
        {"methods.mean_diff.estimator": "svd"},
        {"methods.c": activation("chars", cluster=3)},
        {"methods.c": activation("chars", clusters="many")},
        {"methods.c": activation("mean_diff", clusters=3)},
        {"methods.p": parts()},
        {"calibration.target": {"kind": "simple"}},
        {"comparisons": {"a": ["lora"]}},
        {"methods.a b": activation("pca")},
    ],
    ids=str,
)
def test_what_the_study_refuses_does_not_match(wrong):
    assert problems(changed(**wrong))


def test_the_shipped_config_shows_every_key_of_the_schema():
    found = set(leaves(config_schema()))
    assert {path for path in found if not occurs(CONFIG, path.split("."))} == ALTERNATIVES
    assert len(found) > 60, "the walker must see the whole schema"


def test_every_key_that_the_config_shows_is_in_the_schema():
    for section in CONFIG:
        config = copy.deepcopy(CONFIG)
        config[f"{section}s"] = config.pop(section)
        assert problems(config), section
