"""From config to study: what each problem's line says, and which file it names."""

import itertools

import pytest
import yaml
from steerdose.study.load import load_study
from study_examples import CONFIG, ROOT, activation, changed, imported, overlaid, parts, refused, study

WITH_OPTIONS = [name for name, method in CONFIG["methods"].items() if "options" in method]
FREE = {"models", "methods", "probes", "tasks", "endpoints"} | {
    f"methods.{name}.options" for name in WITH_OPTIONS
}  # keys of choice
FREE |= {"benefit.effects", "ablations.effects", "subspaces.switches"}
FREE |= {f"tasks.{name}.{key}" for name in CONFIG["tasks"] for key in ("forms", "measures")}
OVERLAYS = [*sorted((ROOT / "studies").glob("*.yaml")), *sorted((ROOT / "tests/config").glob("*.yaml"))]


@pytest.fixture(autouse=True)
def root(monkeypatch):
    monkeypatch.chdir(ROOT)


def sections(node, path=""):
    """Yield the path of every mapping."""
    if isinstance(node, dict):
        yield path
        for key, value in node.items():
            yield from sections(value, f"{path}.{key}".lstrip("."))


def test_the_shipped_config_is_a_study():
    assert list(study().chosen) == ["lora", "mean_diff"]


@pytest.mark.parametrize("overlay", OVERLAYS, ids=lambda path: path.stem)
def test_every_shipped_overlay_is_a_study(overlay, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").symlink_to(ROOT / "data")
    (tmp_path / "tiny_model").mkdir()
    assert load_study(overlaid(overlay), [ROOT / "config.yaml", overlay]).study.models


@pytest.mark.parametrize("path", sorted(set(sections(CONFIG)) - FREE))
def test_an_unknown_key_is_refused_in_every_section(path):
    place = f"{path}.quux".lstrip(".")
    assert refused(changed(**{place: 1})) == [f"{place}: unknown key; remove it, or see config.yaml for its name"]


def test_a_key_that_is_called_as_a_kind_is_named_as_a_key():
    assert refused(changed(**{"tasks.outlook.options": 7})) == [
        "tasks.outlook.options: input should be a valid string, found 7"
    ]


@pytest.mark.parametrize(
    ("key", "near"),
    [("rollout.widow", "window"), ("methods.lora.training.setps", "steps"), ("jobs.bacthes", "batches")],
)
def test_an_unknown_key_gets_the_nearest_name(key, near):
    assert refused(changed(**{key: 1})) == [f"{key}: unknown key; did you mean {near}?"]


@pytest.mark.parametrize(
    ("key", "value", "line"),
    [
        ("rollout.window", 0, "rollout.window: input should be greater than or equal to 1, found 0"),
        ("rollout.window", 128.0, "rollout.window: input should be a valid integer, found 128.0"),
        ("rollout.window", "128", 'rollout.window: input should be a valid integer, found "128"'),
        ("rollout.alphas", [0, float("nan")], "rollout.alphas.1: input should be a finite number, found NaN"),
        ("rollout.alphas", [], "rollout.alphas: list should have at least 1 item, not 0, found []"),
        ("rollout.alphas", [0, 1, 1.0], "rollout.alphas: 1.0 more than once; name each once"),
        (
            "rollout.alphas",
            [1, 2],
            "rollout.alphas: must contain 0, the unsteered model that every dose is compared with; add 0 to the list",
        ),
        ("rollout.forks", {}, "rollout.forks: give either `count` or `every`, for example {count: 10}"),
        ("rollout.forks", {"count": 3, "every": 2}, "rollout.forks: give either `count` or `every`, for example "),
        ("rollout.forks", 3, "rollout.forks: keys are wanted, found 3"),
        ("rollout.template", "no slot", "rollout.template: string should match pattern '[{]question[}]', found "),
        ("rollout.readings", ["unsteered"], "rollout.readings: ['unsteered'] is neither [steered] nor [steered, uns"),
        ("survival", None, "survival: keys are wanted, found null"),
        ("survival.confidence", 1, "survival.confidence: input should be less than or equal to 0.9999, found 1"),
        ("survival.threshold.value", 0, "survival.threshold.value: input should be greater than 0, found 0"),
        ("calibration.statistic", "p96", "calibration.statistic: input should be 'mean', 'p50', 'rmse', 'p90', "),
        ("calibration.target", 0, "calibration.target: input should be greater than 0, found 0"),
        ("calibration.target", float("inf"), "calibration.target: input should be a finite number, found Infinity"),
        ("calibration.target", "strong", 'calibration.target: input should be a valid number, found "strong"'),
        ("methods.lora.target", -1, "methods.lora.target: input should be greater than 0, found -1"),
        ("methods.lora.peft_type", "LORAX", "methods.lora.peft_type: 'LORAX' is not one of ['ADALORA', 'BOFT', "),
        ("methods.lora.options", {"r": float("nan")}, "methods.lora.options: {'r': nan} holds a number that is not "),
        ("methods.lora.layer_range", [0.5, 0.5], "methods.lora.layer_range: 0.5 to 0.5 is empty; give two rising "),
        ("methods.lora.layer_range", [0.5, 1.5], "methods.lora.layer_range.1: input should be less than or equal to"),
        ("methods.lora.layer_range", [0.5], "methods.lora.layer_range.1: this is missing in [0.5]"),
        ("methods.mean_diff.depths", [], "methods.mean_diff.depths: list should have at least 1 item, not 0, found []"),
        ("methods.mean_diff.estimator", "svd", "methods.mean_diff.estimator: 'svd' is not one of ['mean_diff', 'pca',"),
        (
            "methods.mean_diff.kind",
            "activations",
            "methods.mean_diff.kind: 'activations' is not one of ['adapter', 'activation', 'constructed', 'ran"
            "dom', 'import', "
            "'prompt', 'parts']; did you mean activation?",
        ),
        ("methods.new", {"depths": [0]}, "methods.new.kind: this key is missing; give one of ['adapter', "),
        ("methods.new", 3, "methods.new: keys are wanted, found 3"),
        ("methods.random_direction.draw", -1, "methods.random_direction.draw: input should be greater than or equal"),
        ("methods.simple_prompt.style", "long", "methods.simple_prompt.style: input should be 'simple' or 'engineered"),
        ("methods.simple_prompt.target", 1.0, "methods.simple_prompt.target: input should be null, found 1.0"),
        ("methods.p", parts("q_proj"), "methods.p.names: ['q_proj'] are no numbers; by layer they are numbers, or "),
        ("methods.p", parts("9-3"), "methods.p.names: 9-3 is empty; give a rising range like 9-23"),
        ("methods.p", parts("1-3", 2), "methods.p.names: 2 more than once; name each once"),
        ("methods.p", parts(1.5), "methods.p.names.0: input should be a valid integer, found 1.5"),
        ("methods.p", parts("a/b", by="module"), "methods.p.names: ['a/b'] cannot be in a file's name; give the last "),
        ("methods.p", parts(1, by="head"), "methods.p.by: input should be 'layer', 'module', 'third', "),
        ("methods.theirs", imported(format="pickle"), "methods.theirs.format: input should be 'peft', 'control_vec"),
        ("methods.theirs", imported(delta="bisector"), "methods.theirs: delta: only two adapters (format peft, pos"),
        ("methods.theirs", imported(ignore=["norm"]), "methods.theirs: ignore: ['norm']: format peft can only ignore"),
        ("probes.yes_no.answers", ["true", "true"], "probes.yes_no.answers: true more than once; name each once"),
        ("probes.yes_no.answers", ["yes"], 'probes.yes_no.answers.1: this is missing in ["yes"]'),
        ("probes.yes_no.prefill", " ", "probes.yes_no.prefill: string should match pattern '\\S', found \" \""),
        ("probes.yes_no.question", " ", "probes.yes_no: question: kinds interrupt and recall need one, kind spl"),
        (
            "probes.json_splice.question",
            "Well?",
            "probes.json_splice: question: kinds interrupt and recall need one",
        ),
        ("probes.a b", CONFIG["probes"]["yes_no"], "probes.a b: string should match pattern '^[A-Za-z0-9_]["),
        (
            "tasks.knowledge.forms.claim.answers",
            ["yes", "yes"],
            "tasks.knowledge.forms.claim.answers: yes more than once; name each once",
        ),
        ("study.tasks", ["knowlege"], "study.tasks: 'knowlege' is not defined under tasks (defined: ['honesty', "),
        (
            "benefit.damages",
            ["text.ppl"],
            "benefit.damages.0: 'text' has no measure 'ppl'; it has ['nll', ",
        ),
        (
            "tasks.honesty.data",
            "data/claims.jsonl",
            "tasks.honesty.forms: no item is asked in honest, dishonest, ",
        ),
        ("tasks.honesty.data", "nowhere.csv", "tasks.honesty.data: cannot read the items in nowhere.csv"),
        ("tasks.text.n_answers", 999, "tasks.text.n_answers: 999 texts wanted, reference.n_questions is 80"),
        (
            "tasks.text.data",
            "o/n@main:a/b.parquet",
            "tasks.text.n_items: say how many items of the hub's file",
        ),
        ("comparisons", {"a": ["lora"]}, "comparisons.a: list should have at least 2 items, not 1, found "),
        ("comparisons", {"a": ["lora", "lora"]}, "comparisons.a: lora more than once; name each once"),
        ("study.seeds", [0, -1], "study.seeds.1: input should be greater than or equal to 0, found -1"),
        ("study.seeds", [0.0], "study.seeds.0: input should be a valid integer, found 0.0"),
        ("study.models", [3], "study.models.0: input should be a valid string, found 3"),
        ("study.methods", ["lora", "lora"], "study.methods: lora more than once; name each once"),
        ("models", {}, "models: dictionary should have at least 1 item, not 0, found {}"),
        ("models", {"..": CONFIG["models"]["smollm2"]}, "models...: string should match pattern"),  # would be results
        ("models.smollm2.sha256", "B" * 64, "models.smollm2.sha256: string should match pattern '^[0-9a-f]{64}$'"),
        ("models.smollm2.dtype", "int8", "models.smollm2.dtype: input should be 'float32', 'bfloat16' or 'float16'"),
        ("device", "gpu", "device: string should match pattern '^(auto|cpu|balanced|cuda(:[0-9]+)?)$', found \"gpu\""),
        ("jobs.threads", 0, "jobs.threads: input should be greater than or equal to 1, found 0"),
    ],
)
def test_a_wrong_value_gives_one_line_with_its_key(key, value, line):
    (found,) = refused(changed(**{key: value}))
    assert found.startswith(line)


@pytest.mark.parametrize("section", [key for key in CONFIG if key not in ("jobs", "tasks")])
def test_a_missing_section_is_named(section):
    config = {key: value for key, value in CONFIG.items() if key != section}
    assert refused(config) == [f"{section}: this key is missing; config.yaml has it with a comment"]


def test_an_entry_without_its_keys_gets_a_line_a_key():
    lines = refused(changed(**{"methods.new": {"kind": "adapter"}}))
    missing = ("delta", "peft_type", "options", "target_modules", "layer_range", "training")
    assert lines == [f"methods.new.{key}: this key is missing; config.yaml has it with a comment" for key in missing]


def test_all_problems_are_reported_at_once():
    wrong = {
        "device": "gpu", "rollout.window": 0, "models.smollm2.dtype": "int8", "repe.batch_size": "many",
        "methods.lora.layer_range": [1, 0], "methods.new": activation("svd"), "sweep": {}, "survival.confidence": None,
    }  # fmt: skip
    lines = refused(changed(**wrong))
    wrong["methods.new.estimator"] = wrong.pop("methods.new")
    assert sorted(line.partition(": ")[0] for line in lines) == sorted(wrong)


@pytest.fixture(name="lay")
def lay_fixture(tmp_path):
    """Lay contents over the shipped config; return the config and the files, each laid over those before it."""

    def run(*contents):
        files = [tmp_path / f"{number}.yaml" for number in range(len(contents))]
        for file, content in zip(files, contents, strict=True):
            file.write_text(yaml.safe_dump(content))
        return overlaid(*files), [ROOT / "config.yaml", *files]

    return run


def test_a_problem_names_the_file_that_has_the_last_word(lay):
    wrong, right = {"rollout": {"window": 0}}, {"rollout": {"n_questions": 4}}
    for contents in itertools.permutations([wrong, right, {"device": "cpu"}]):
        config, files = lay(*contents)
        (line,) = refused(config, files)
        assert line.startswith(f"{files[1 + contents.index(wrong)]}: rollout.window: ")
    config, files = lay({"rollout": {"window": 16}}, wrong)
    assert refused(config, files)[0].startswith(f"{files[2]}: rollout.window: ")


def test_a_problem_of_the_references_names_its_file_too(lay):
    config, files = lay({"study": {"methods": ["lora", "pca"]}, "comparisons": {"a": ["lora", "dora"]}})
    assert [line.partition(": ")[0] for line in refused(config, files)] == [str(files[1])] * 2


def test_a_missing_key_names_the_file_of_what_it_lacks_in(lay):
    config, files = lay({"methods": {"new": {"kind": "activation", "estimator": "pca"}}})
    (line,) = refused(config, files)
    assert line.startswith(f"{files[1]}: methods.new.depths: this key is missing; ")


def test_one_file_alone_is_not_named():
    assert refused(changed(device="gpu"), ["config.yaml"])[0].startswith("device: ")


def test_an_unknown_kind_is_told_the_kinds_of_its_own_section():
    assert refused(changed(**{"endpoints.text.kind": "tex"})) == [
        "endpoints.text.kind: 'tex' is not one of ['text', 'answer', 'first_dip', 'kl']; did you mean text?"
    ]


def test_an_alarm_of_no_size_is_refused():
    assert refused(changed(**{"endpoints.text.size": 0.0}))[0].startswith(
        "endpoints.text.size: input should be greater"
    )
