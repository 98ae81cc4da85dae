"""The config: what is refused, how the message leads to the key, and that schema and shipped config agree."""

import copy
from pathlib import Path

import pytest
import yaml
from peft.mapping import PEFT_TYPE_TO_TUNER_MAPPING
from snakemake.utils import update_config
from steerdose.errors import SteerdoseError
from steerdose.study.checks import check_config
from steerdose.study.texts import SCHEMAS

ROOT = Path(__file__).parents[3]
CONFIG = yaml.safe_load((ROOT / "config.yaml").read_text())
SCHEMA = yaml.safe_load((SCHEMAS / "config.schema.yaml").read_text())
ALTERNATIVES = {
    "rollout.forks.every",  # to rollout.forks.count
    "methods.*.target",  # to calibration.target
    *(f"methods.*.{key}" for key in ("format", "positive", "negative", "ignore")),  # kind import is shown in a comment
}
ADAPTERS = [name for name, method in CONFIG["methods"].items() if method["kind"] == "adapter"]
WITH_OPTIONS = [name for name, method in CONFIG["methods"].items() if "options" in method]
FREE = {"models", "methods", "probes"} | {
    f"methods.{name}.options" for name in WITH_OPTIONS
}  # whose keys the user chooses


@pytest.fixture(autouse=True)
def root(monkeypatch):
    monkeypatch.chdir(ROOT)


def changed(**values):
    """Return the shipped config with dotted keys set (dots as in the messages)."""
    config = copy.deepcopy(CONFIG)
    for path, value in values.items():
        *outer, last = path.split(".")
        section = config
        for key in outer:
            section = section[key]
        section[last] = value
    return config


def activation(estimator, **options):
    return {"kind": "activation", "estimator": estimator, "depths": [0.5], "options": options}


def imported(**changes):
    return {"kind": "import", "format": "peft", "positive": "data", "negative": None, **changes}


def sections(node, path=""):
    """Yield the path of every mapping."""
    if isinstance(node, dict):
        yield path
        for key, value in node.items():
            yield from sections(value, f"{path}.{key}".lstrip("."))


def leaves(schema, path=""):
    """Yield the path of every key that the schema knows and that holds no further keys; * is a name."""
    if "$ref" in schema:
        yield from leaves(SCHEMA["$defs"][schema["$ref"].rpartition("/")[2]], path)
    elif "allOf" in schema:
        for kind in schema["allOf"]:
            yield from leaves(kind["then"], path)
    elif "properties" in schema:
        for key, value in schema["properties"].items():
            yield from leaves(value, f"{path}.{key}".lstrip("."))
    elif isinstance(schema.get("additionalProperties"), dict):
        yield from leaves(schema["additionalProperties"], f"{path}.*")
    else:
        yield path


def occurs(node, keys):
    if not keys:
        return True
    if not isinstance(node, dict):
        return False
    inside = node.values() if keys[0] == "*" else [node[keys[0]]] if keys[0] in node else []
    return any(occurs(value, keys[1:]) for value in inside)


def test_the_shipped_config_is_accepted():
    check_config(copy.deepcopy(CONFIG))


def test_optional_keys_of_activation_methods_may_be_left_out():
    plain = activation("chars", regularisation=1)  # a whole number where a fraction is due
    check_config(changed(**{"methods.plain": plain, "methods.plainer": {k: plain[k] for k in list(plain)[:3]}}))


@pytest.mark.parametrize("path", sorted(set(sections(CONFIG)) - FREE))
def test_an_unknown_key_is_refused_in_every_section(path):
    config = changed(**{f"{path}.bogus".lstrip("."): 1})
    with pytest.raises(SteerdoseError, match=rf"\n  {path or 'top level'}: .*'bogus' was unexpected"):
        check_config(config)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("methods.lora.peft_type", "LORAX", r"methods\.lora\.peft_type: 'LORAX' is not one of .*PEFT's tuner families"),
        ("methods.lora.peft_type", "PREFIX_TUNING", r"methods\.lora\.peft_type: 'PREFIX_TUNING' is not one of"),
        ("methods.lora.layer_range", [0.5, 0.5], r"methods\.lora\.layer_range: 0\.5 to 0\.5 is empty"),
        ("methods.lora.layer_range", [0.8, 0.3], r"methods\.lora\.layer_range: 0\.8 to 0\.3 is empty"),
        ("methods.lora.layer_range", [0.5, 1.5], r"methods\.lora\.layer_range\.1: 1\.5 is greater"),
        ("methods.mean_diff.kind", "vector", r"methods\.mean_diff\.kind: 'vector' is not one of"),
        ("methods.mean_diff.depths", [], r"methods\.mean_diff\.depths: \[\]"),
        ("methods.mean_diff.estimator", "svd", r"methods\.mean_diff\.estimator: 'svd' is not one of \['angular', "),
        (
            "methods.mean_diff.options",
            {"a": 1},
            r"methods\.mean_diff\.options: 'a' is unknown to mean_diff; it accepts {}",
        ),
        ("methods.new", activation("pca", top=1), r"methods\.new\.options: 'top' .* accepts {'centred': False}"),
        ("methods.new", activation("pca", centred=1), r"methods\.new\.options\.centred: 1 is no bool"),
        ("methods.new", activation("chars", clusters=2.5), r"methods\.new\.options\.clusters: 2\.5 is no int"),
        ("methods.random_direction.of", "rome", r"methods\.random_direction\.of: 'rome' has no steering .* \['lora', "),
        (
            "methods.random_direction.of",
            "random_direction",
            r"methods\.random_direction\.of: .* has no steering to copy",
        ),
        ("methods.random_direction.draw", -1, r"methods\.random_direction\.draw: -1 is less than the minimum of 0"),
        ("rollout.window", 0, r"rollout\.window: 0 is less than the minimum of 1; the window is the number of tokens"),
        ("rollout.alphas", [1, 2], r"rollout\.alphas: must contain 0, the unsteered model"),
        ("rollout.alphas", [], r"rollout\.alphas: (must contain 0|\[\])"),
        ("rollout.alphas", [0, 1, 1.0], r"rollout\.alphas: .* non-unique"),
        ("rollout.forks", {"count": 3, "every": 2}, r"rollout\.forks: .* too many properties"),
        ("rollout.forks", {}, r"rollout\.forks: \{\}"),
        ("rollout.template", "no slot", r"rollout\.template: 'no slot' does not match"),
        ("rollout.n_questions", 10**4, r"rollout\.n_questions: 10000 wanted, data\.questions has \d+"),
        ("pairs.n_prompts", 10**4, r"pairs\.n_prompts: 10000 prompts wanted, .* in split 'pairs'"),
        ("calibration.n_prompts", 10**4, r"calibration\.n_prompts: 10000 prompts wanted, .* in split 'calibration'"),
        ("calibration.n_audit_prompts", 10**4, r"calibration\.n_audit_prompts: 10000 prompts .* in split 'audit'"),
        ("calibration.statistic", "p96", r"calibration\.statistic: 'p96' is not one of"),
        ("calibration.target", 0, r"calibration\.target: 0 is less than or equal to"),
        (
            "calibration.target",
            {"prompt": "lora"},
            r"calibration\.target\.prompt: 'lora' is not a method of kind prompt; .*\['simple_prompt', ",
        ),
        ("calibration.target", {"kind": "simple"}, r"calibration\.target: .*'kind' was unexpected"),
        (
            "methods.lora.target",
            {"prompt": "persona"},
            r"methods\.lora\.target\.prompt: 'persona' is not a method of kind prompt",
        ),
        ("methods.lora.target", -1, r"methods\.lora\.target: -1 is less than or equal to"),
        ("methods.simple_prompt.target", 1.0, r"methods\.simple_prompt: .*'target' was unexpected"),
        ("methods.simple_prompt.style", "long", r"methods\.simple_prompt\.style: 'long' is not one of"),
        ("methods.random_direction.of", "simple_prompt", r"methods\.random_direction\.of: .* has no steering to copy"),
        (
            "study.methods",
            ["simple_prompt", "engineered_prompt"],
            r"study\.methods: .* are all prompts, which have no dose",
        ),
        ("probes.yes_no.answers", ["true", "true"], r"probes\.yes_no\.answers: .* non-unique"),
        ("probes.yes_no.prefill", " ", r"probes\.yes_no\.prefill: ' ' does not match"),
        ("probes.yes_no.question", " ", r"probes\.yes_no\.question: kind interrupt needs a question"),
        ("probes.json_splice.question", "Well?", r"probes\.json_splice\.question: .*kind splice has none"),
        ("probes.a b", CONFIG["probes"]["yes_no"], r"probes: 'a b' does not match"),
        ("rollout.probes", [], r"rollout\.probes: \[\]"),
        ("rollout.probes", ["json"], r"rollout\.probes: 'json' is not defined under probes .*json_interrupt"),
        ("rollout.readings", ["unsteered"], r"rollout\.readings: \['unsteered'\] is not one of"),
        ("survival.minimum_base_pmass", 2, r"survival\.minimum_base_pmass: 2 is greater"),
        ("study.methods", ["lora", "pca"], r"study\.methods: 'pca' is not defined under methods .*mean_diff"),
        ("study.models", ["gpt"], r"study\.models: 'gpt' is not defined under models .*smollm2"),
        ("study.behaviors", ["courage"], r"study\.behaviors: 'courage' has no personas in data\.personas .*honesty"),
        ("study.seeds", [-1], r"study\.seeds\.0: -1 is less than the minimum"),
        ("models.a b", CONFIG["models"]["smollm2"], r"models: 'a b' does not match"),
        ("models", {"..": CONFIG["models"]["smollm2"]}, r"models: '\.\.' "),  # results/models/.. would be results
        ("models.smollm2.sha256", "xyz", r"models\.smollm2\.sha256: 'xyz' does not match"),
        ("models.smollm2.sha256", "B" * 64, r"models\.smollm2\.sha256: 'B+' does not match"),
        ("models.smollm2.dtype", "int8", r"models\.smollm2\.dtype: 'int8' is not one of"),
        ("device", "gpu", r"device: 'gpu' does not match"),
        ("data.prompts", "none.jsonl", r"data\.prompts: cannot read none\.jsonl"),
        ("data.personas", "data/prompts.jsonl", r"data\.personas: data/prompts\.jsonl"),
        ("methods.theirs", imported(positive="x"), r"methods\.theirs\.positive: 'x' is no existing path and no hub id"),
        ("methods.theirs", imported(negative="a/b"), r"methods\.theirs\.negative: 'a/b' is no .*owner/name@revision"),
        ("methods.theirs", imported(format="pickle"), r"methods\.theirs\.format: 'pickle' is not one of"),
        ("methods.theirs", imported(delta="bisector"), r"methods\.theirs\.delta: only two adapters"),
        ("methods.theirs", imported(format="vectors", negative="data", delta="negative"), r"methods\.theirs\.delta: "),
        ("methods.theirs", imported(ignore=["norm"]), r"methods\.theirs\.ignore: \['norm'\]: format peft can only"),
        ("survival.confidence", 1, r"survival\.confidence: 1 is greater than or equal to"),
        ("survival.threshold.value", 0, r"survival\.threshold\.value: 0 is less than or equal to"),
    ],
)
def test_a_wrong_value_is_refused_with_its_key(key, value, message):
    with pytest.raises(SteerdoseError, match=f"\n  {message}"):
        check_config(changed(**{key: value}))


@pytest.mark.parametrize(
    "needed", [{"study.methods": ["lora", "simple_prompt"]}, {"methods.lora.target": {"prompt": "simple_prompt"}}]
)
def test_system_prompts_are_read_only_where_a_prompt_is_measured(tmp_path, needed):
    path = tmp_path / "system_prompts.yaml"
    text = (ROOT / "data/system_prompts.yaml").read_text()
    path.write_text(text[: text.index("  sycophancy:")])
    sycophancy = {"data.system_prompts": str(path), "study.behaviors": ["sycophancy"]}
    check_config(changed(**sycophancy))
    with pytest.raises(SteerdoseError, match=r"study\.behaviors: 'sycophancy' has no texts in data\.system_prompts"):
        check_config(changed(**sycophancy, **needed))
    with pytest.raises(SteerdoseError, match=r"data\.system_prompts: cannot read none\.yaml"):
        check_config(changed(**needed, **{"data.system_prompts": "none.yaml"}))


def test_a_target_may_be_a_prompt():
    target = {"prompt": "engineered_prompt"}
    check_config(
        changed(**{"calibration.target": target, "methods.lora.target": 0.5, "methods.mean_diff.target": target})
    )


@pytest.mark.parametrize("section", sorted(key for key in CONFIG))
def test_a_missing_section_is_named(section):
    with pytest.raises(SteerdoseError, match=f"top level: '{section}' is a required property"):
        check_config({key: value for key, value in CONFIG.items() if key != section})


@pytest.mark.parametrize(
    "wrong",
    [
        {"device": "gpu", "rollout.window": 0, "models.smollm2.dtype": "int8", "repe.batch_size": "many"},
        {
            "study.models": ["gpt"],
            "study.behaviors": ["courage"],
            "methods.lora.layer_range": [1, 0],
            "pairs.n_prompts": 10**4,
            "calibration.n_prompts": 10**4,
            "rollout.n_questions": 10**4,
        },
    ],
    ids=["schema", "references"],
)
def test_all_problems_are_reported_at_once(wrong):
    with pytest.raises(SteerdoseError) as caught:
        check_config(changed(**wrong))
    lines = str(caught.value).splitlines()[1:]
    assert sorted(line.strip().split(": ")[0] for line in lines) == sorted(wrong)


def test_the_shipped_config_shows_every_key_of_the_schema():
    missing = {path for path in leaves(SCHEMA) if not occurs(CONFIG, path.split("."))}
    assert missing == ALTERNATIVES
    assert len(set(leaves(SCHEMA))) > 60, "the walker must see the whole schema"


def test_the_peft_types_are_those_of_peft_that_merge_into_linear_weights():
    types = SCHEMA["$defs"]["adapter"]["properties"]["peft_type"]["enum"]
    merging = {t.value for t, tuner in PEFT_TYPE_TO_TUNER_MAPPING.items() if hasattr(tuner, "merge_and_unload")}
    other = {
        "ADAMSS",  # needs scikit-learn
        "BEFT",  # trains biases
        "LILY",  # raises at merge_and_unload
        "POLY",  # needs task_ids in every batch
        "SHADOW",  # runs a second model beside the first
        "TRAINABLE_TOKENS",  # trains embeddings
        "XLORA",  # mixes trained LoRAs by input
    }
    assert types == sorted(merging - other)


@pytest.mark.parametrize("name", ADAPTERS)
def test_changing_one_family_in_an_overlay_leaves_the_others_alone(name):
    """config.yaml copies keys with YAML anchors; Snakemake lays overlays over the parsed config in place."""
    config = yaml.safe_load((ROOT / "config.yaml").read_text())
    update_config(config, {"methods": {name: {"training": {"steps": 1}}}})
    assert [other for other in ADAPTERS if config["methods"][other]["training"]["steps"] == 1] == [name]


@pytest.mark.parametrize(
    "entry",
    [
        imported(),
        imported(positive="owner/name@v1.0", negative="owner/name@refs/pr/1", delta="negative"),
        imported(format="checkpoint", ignore=["*norm.weight", "base_model"]),
        imported(format="vectors", positive="config.yaml", ignore=["base_model"]),
    ],
)
def test_imports_are_accepted(entry):
    check_config(changed(**{"methods.theirs": entry}))


def test_the_import_in_the_comment_of_the_config_is_valid():
    line = next(line for line in (ROOT / "config.yaml").read_text().splitlines() if "# theirs: " in line)
    entry = yaml.safe_load(line.partition("# theirs: ")[2].partition("  #")[0])
    check_config(changed(**{"methods.theirs": {**entry, "positive": "data"}}))
