"""What must fit together in a study: references between keys, sources, and as many texts as are asked for."""

import pytest
import yaml
from steerdose.errors import SteerdoseError
from steerdose.study.load import load_study
from study_examples import ROOT, activation, changed, imported, parts, study

FAMILIES = ("lora", "dora", "pissa", "delora", "oft", "boft", "ia3")
OWN = [*FAMILIES, "mean_diff", "constructed", "shuffled_direction"]


@pytest.fixture(autouse=True)
def root(monkeypatch):
    monkeypatch.chdir(ROOT)


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"ablations.damage": "honesty"}, "ablations.damage: 'honesty' is not a task of kind likelihood"),
        (
            {"ablations.effects": {"other": "honesty"}},
            "ablations.effects: none of ['honesty'] is there, so that no",
        ),
        ({"ablations.n_answers": 99}, "ablations.n_answers: 99 wanted, reference.n_questions is 80"),
        ({"positions": "generated"}, "ablations.methods: 'lora' steers some tokens alone; a part is read with all"),
    ],
)
def test_what_does_not_fit_a_screen_is_said_where_there_is_one(changes, line):
    assert study(**changes).ablations.methods == ()
    with pytest.raises(SteerdoseError) as caught:
        study(**changes, **{"ablations.methods": ["lora"]})
    assert line in str(caught.value)


def refused(**values):
    with pytest.raises(SteerdoseError) as caught:
        load_study(changed(**values))
    return [line.removeprefix("  ") for line in str(caught.value).splitlines()[1:]]


@pytest.mark.parametrize(
    ("key", "value", "line"),
    [
        ("study.models", ["gpt"], "study.models: 'gpt' is not defined under models (defined: ['smollm2'])"),
        ("study.methods", ["lora", "pca"], "study.methods: 'pca' is not defined under methods (defined: ['boft', "),
        ("study.methods", ["simple_prompt", "engineered_prompt"], "study.methods: ['simple_prompt', 'engineered_promp"),
        (
            "study.behaviors",
            ["courage"],
            "study.behaviors: 'courage' has no texts in data.personas (it has ['cheerf",
        ),
        ("rollout.probes", ["json"], "rollout.probes: 'json' is not defined under probes (defined: ['json_interrupt'"),
        ("rollout.n_questions", 10**4, "rollout.n_questions: 10000 wanted, data.questions has 80"),
        ("pairs.n_prompts", 10**4, "pairs.n_prompts: 10000 prompts wanted, data.prompts has 100 in split 'pairs'"),
        ("calibration.n_prompts", 10**4, "calibration.n_prompts: 10000 prompts wanted, data.prompts has 70 in split"),
        ("calibration.n_audit_prompts", 10**4, "calibration.n_audit_prompts: 10000 prompts wanted, data.prompts has"),
        (
            "calibration.target",
            {"prompt": "lora"},
            "calibration.target.prompt: 'lora' is not a method of kind prompt; give one of ['simple_prompt', "
            "'engineered_prompt'], or a number of nats",
        ),
        ("methods.lora.target", {"prompt": "x"}, "methods.lora.target.prompt: 'x' is not a method of kind prompt; gi"),
        ("methods.new", activation("pca", top=1), "methods.new.options.top: unknown key, found 1; pca accepts {'cent"),
        ("methods.new", activation("pca", centred=1), "methods.new.options.centred: input should be a valid boolean, "),
        ("methods.new", activation("chars", clusters=2.5), "methods.new.options.clusters: input should be a valid int"),
        (
            "methods.new",
            activation("cosine_gated", threshold=float("nan")),
            "methods.new.options.threshold: input should be a finite number, found nan; cosine_gated accepts",
        ),
        ("methods.random_direction.of", "rome", "methods.random_direction.of: 'rome' has no steering of its own to c"),
        ("methods.p", parts(3, of="random_delta"), "methods.p.of: 'random_delta' has no steering of its own to copy "),
        (
            "methods.p",
            parts(3, of="p"),
            f"methods.p.of: 'p' has no steering of its own to copy or cut; give one of {OWN}",
        ),
        ("methods.p", parts(3, of="simple_prompt"), "methods.p.of: 'simple_prompt' has no steering of its own to copy"),
        (
            "ablations.methods",
            ["mean_diff"],
            "ablations.methods: 'mean_diff' is no weight delta of its own; give some",
        ),
        (
            "ablations.methods",
            ["rome"],
            "ablations.methods: 'rome' is no weight delta of its own; give some of",
        ),
        ("ablations.tolerance", 1, "ablations.tolerance: input should be less than 1, found 1"),
        (
            "ablations.effects",
            {"honesty": "mood"},
            "ablations.effects.honesty: 'mood' is no task that is read;",
        ),
        (
            "ablations.effects",
            {"honesty": "none"},
            "ablations.effects.honesty: 'none' is no task that is read;",
        ),
        (
            "methods.p",
            {"kind": "parts", "of": "lora", "by": "shared", "names": [8]},
            "methods.p.of: 'lora' is not in ablations.methods, whose families make the bases",
        ),
        (
            "methods.p",
            {"kind": "parts", "of": "mean_diff", "by": "subspace", "names": ["own-8", "mlp_write-32"]},
            "methods.p.names: ['mlp_write-32']: bases have 16 directions, the most of subspaces.widths",
        ),
        (
            "methods.p",
            {"kind": "parts", "of": "mean_diff", "by": "subspace", "names": ["mlp_write"]},
            "methods.p.names: ['mlp_write']: by subspace it is a hypothesis and a width, like mlp_write-8",
        ),
        ("subspaces.methods", ["mean_diff"], "subspaces.methods: 'mean_diff' is no weight delta of its own; give"),
        ("subspaces.causal", ["simple_prompt"], "subspaces.causal: 'simple_prompt' has nothing to project on a basis;"),
        ("ablations.ways", ["subspace"], "ablations.ways: ['subspace']: parts in bases of hypotheses are read for the"),
        ("comparisons", {"a": ["lora", "dora"]}, "comparisons.a: 'dora' is not among the study's methods (['lora', 'm"),
        ("comparisons", {"a": ["lora", "dose"]}, "comparisons.a: 'dose' is not among the study's methods (['lora', 'm"),
        ("data.prompts", "none.jsonl", "data.prompts: cannot read none.jsonl (No such file or directory); check the"),
        ("methods.theirs", imported(positive="x"), "methods.theirs.positive: 'x' is no existing path and no hub id 'o"),
        (
            "methods.theirs",
            imported(negative="a/b"),
            "methods.theirs.negative: 'a/b' is no existing path and no hub id",
        ),
    ],
)
def test_what_does_not_fit_gives_one_line_with_its_key(key, value, line):
    (found,) = refused(**{key: value})
    assert found.startswith(line)


def test_a_file_of_texts_that_does_not_parse_is_named():
    assert refused(**{"data.personas": "data/prompts.jsonl"})[0].startswith("data.personas: data/prompts.jsonl is not")


def test_two_methods_of_one_name_are_refused():
    config = changed(**{"methods.p": parts("3-4")})
    config["methods"]["p.4"] = activation("pca")
    with pytest.raises(SteerdoseError, match=r"methods: 'p\.4' is the name of several methods; rename an entry"):
        load_study(config)


def test_all_that_does_not_fit_is_reported_at_once():
    wrong = {
        "study.models": ["gpt"], "study.behaviors": ["courage"], "pairs.n_prompts": 10**4,
        "calibration.n_prompts": 10**4, "rollout.n_questions": 10**4, "comparisons": {"a": ["lora", "x"]},
        "methods.random_delta.of": "rome",
    }  # fmt: skip
    names = {"comparisons": "comparisons.a"}
    assert sorted(line.partition(": ")[0] for line in refused(**wrong)) == sorted(names.get(key, key) for key in wrong)


@pytest.mark.parametrize(
    "needed", [{"study.methods": ["lora", "simple_prompt"]}, {"methods.lora.target": {"prompt": "simple_prompt"}}]
)
def test_system_prompts_of_a_behavior_are_needed_only_where_a_prompt_is_measured(tmp_path, needed):
    path = tmp_path / "system_prompts.yaml"
    text = (ROOT / "data/system_prompts.yaml").read_text()
    path.write_text(text[: text.index("  sycophancy:")])
    sycophancy = {"data.system_prompts": str(path), "study.behaviors": ["sycophancy"]}
    study(**sycophancy)
    (line,) = refused(**sycophancy, **needed)
    assert line == "study.behaviors: 'sycophancy' has no texts in data.system_prompts (it has ['honesty'])"


def test_a_target_may_be_a_prompt():
    target = {"prompt": "engineered_prompt"}
    found = study(**{"calibration.target": target, "methods.lora.target": 0.5, "methods.mean_diff.target": target})
    assert found.target_of("lora") == 0.5
    assert found.target_of("mean_diff").prompt == found.target_of("dora").prompt == "engineered_prompt"


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
    assert study(**{"methods.theirs": entry}).methods["theirs"].makes == "import_steering"


def test_the_import_in_the_comment_of_the_config_is_valid():
    line = next(line for line in (ROOT / "config.yaml").read_text().splitlines() if "# theirs: " in line)
    entry = yaml.safe_load(line.partition("# theirs: ")[2].partition("  #")[0])
    study(**{"methods.theirs": {**entry, "positive": "data"}})


def test_comparisons_may_name_parts_of_the_study():
    sets = {"layers": ["p.3", "p.4", "lora"]}
    found = study(**{"methods.p": parts("3-4"), "study.methods": ["lora", "p"], "comparisons": sets})
    assert found.comparisons["layers"] == ("p.3", "p.4", "lora")


@pytest.mark.parametrize(
    ("method", "refused_too"),
    [("lora", False), ("dora", True), ("pissa", True), ("ia3", True), ("mean_diff", False)],
)
def test_only_adapters_whose_change_rests_on_no_weight_train_on_rounded_ones(method, refused_too):
    values = {"models.smollm2.quantization": "4bit", "study.methods": [method]}
    if not refused_too:
        assert load_study(changed(**values))
        return
    line = f"methods.{method}.peft_type: the change of a weight would depend on the weight, which is rounded in smollm2"
    assert [found[: len(line)] for found in refused(**values)] == [line]


def test_rounded_models_need_an_extra(monkeypatch):
    monkeypatch.setattr("steerdose.study.checks.find_spec", lambda _: None)
    line = "models.smollm2.quantization: needs an extra: pip install -r requirements-quantized.txt"
    assert refused(**{"models.smollm2.quantization": "8bit"}) == [line]
