"""What each kind of method says of itself, and the methods that an entry stands for."""

import json

import pytest
from peft.mapping import PEFT_TYPE_TO_TUNER_MAPPING
from snakemake.utils import update_config
from steerdose.study.base import Part
from steerdose.study.estimators import ESTIMATORS
from steerdose.study.methods import PEFT_TYPES, Activation, Adapter, Training
from steerdose.study.parts import Parts
from study_examples import CONFIG, ROOT, activation, changed, imported, parts, study

ADAPTERS = [name for name, method in CONFIG["methods"].items() if method["kind"] == "adapter"]


@pytest.fixture(autouse=True)
def root(monkeypatch):
    monkeypatch.chdir(ROOT)


def test_the_peft_types_are_those_of_peft_that_merge_into_linear_weights():
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
    assert list(PEFT_TYPES) == sorted(merging - other)


@pytest.mark.parametrize("name", ADAPTERS)
def test_changing_one_family_in_an_overlay_leaves_the_others_alone(name):
    """config.yaml copies keys with YAML anchors; Snakemake lays overlays over the parsed config in place."""
    config = changed()
    update_config(config, {"methods": {name: {"training": {"steps": 1}}}})
    assert [other for other in ADAPTERS if config["methods"][other]["training"]["steps"] == 1] == [name]


def test_a_kind_says_which_rule_makes_it_and_what_it_is():
    added = {"methods.theirs": imported(positive="data"), "methods.p": parts(3, 4)}
    methods = study(**added).methods
    said = {name: (each.makes, each.has_dose, each.group, each.derives_from) for name, each in methods.items()}
    assert said["lora"] == ("merge_diff", True, "adapter", None)
    assert said["mean_diff"] == ("fit_repe", True, "activation", None)
    assert said["shuffled_direction"] == ("fit_repe", True, "control", None)
    assert said["random_delta"] == ("draw_control", True, "control", "lora")
    assert said["theirs"] == ("import_steering", True, "import", None)
    assert said["engineered_prompt"] == (None, False, "prompt", None)
    assert said["p"][0] == "make_parts"
    origins = {name: each.origin for name, each in methods.items()}
    assert origins["lora"] == "LORA adapters trained here, difference"
    assert origins["shuffled_direction"] == "mean_diff of activations read here with shuffled labels"
    assert origins["random_delta"] == "random copy 0 of lora"
    assert origins["theirs"] == "imported from data"
    assert origins["engineered_prompt"] == "engineered system prompt"
    assert len(set(origins.values())) > 8


def test_parts_spell_their_names_out_and_are_methods_like_others():
    found = study(**{"methods.p": parts("9-11", 3, "20"), "study.methods": ["lora", "p"]})
    assert list(found.chosen) == ["lora", "p.9", "p.10", "p.11", "p.3", "p.20"]
    assert [found.entries[name] for name in found.chosen] == ["lora", *["p"] * 5]
    member = found.all_methods["p.10"]
    assert (member.makes, member.has_dose, member.group, member.derives_from) == ("make_parts", True, "p", "lora")
    assert member.origin == "layer 10 of lora"
    assert "p" not in found.all_methods


def test_members_are_calibrated_to_the_target_of_their_entry():
    found = study(**{"methods.p": parts(3, target=0.25)})
    assert found.target_of("p.3") == 0.25
    assert found.target_of("lora") == 1.0


@pytest.mark.parametrize("names", [["1-3"], [1, 2, 3], ["1", "2-3"]])
def test_however_parts_are_written_they_are_the_same(names):
    spelled = Parts.parse(json.dumps(parts(*names)))
    assert spelled.text() == Parts.parse(json.dumps(parts(1, 2, 3))).text()
    assert Parts.parse(spelled.text()) == spelled


def test_what_a_steering_depends_on_leaves_its_target_out():
    plain, aimed = (Activation.parse(json.dumps({**activation("pca"), **more})) for more in ({}, {"target": 2}))
    assert plain.text() != aimed.text()
    assert plain.own().text() == aimed.own().text()


def test_what_a_training_depends_on_leaves_target_and_delta_out():
    entry = CONFIG["methods"]["lora"]
    variants = [Adapter.parse(json.dumps({**entry, **more})) for more in ({}, {"target": 2}, {"delta": "bisector"})]
    assert len({each.trained().text() for each in variants}) == 1
    assert len({each.text() for each in variants}) == 3


def test_text_is_equal_for_equal_contents_in_any_order_and_spelling():
    entry = CONFIG["methods"]["lora"]["training"]
    rate = f'"learning_rate": {entry["learning_rate"]}'
    text = json.dumps(entry)
    assert rate in text
    spelled = [text.replace(rate, f'"learning_rate": {number}') for number in ("0.001", "1.0e-3", "1E-3", "1e-03")]
    spelled += [json.dumps(dict(reversed(json.loads(each).items()))) for each in spelled]
    assert len(set(spelled)) > 4
    assert len({Training.parse(each).text() for each in spelled}) == 1
    whole = [Training.parse(text.replace(rate, f'"learning_rate": {number}')).text() for number in ("1", "1.0")]
    assert whole[0] == whole[1] != Training.parse(spelled[0]).text()


def test_options_of_a_family_are_compared_without_their_order():
    entry, swapped = CONFIG["methods"]["lora"], dict(reversed(CONFIG["methods"]["lora"]["options"].items()))
    assert list(swapped) != list(entry["options"])
    assert Adapter.parse(json.dumps({**entry, "options": swapped})).text() == Adapter.parse(json.dumps(entry)).text()


def test_parts_of_a_study_cannot_be_changed():
    with pytest.raises(ValueError, match="frozen"):
        study().rollout.window = 3
    assert issubclass(Activation, Part)


@pytest.mark.parametrize("name", ESTIMATORS)
def test_options_that_are_left_out_have_their_defaults(name):
    method = Activation(kind="activation", estimator=name, depths=(0.5,))
    assert method.fitted.model_dump() == {key: f.default for key, f in ESTIMATORS[name].model_fields.items()}
    assert type(method.fitted) is ESTIMATORS[name]
