"""The slice of the study that each rule depends on, as text and back."""

import inspect
import re

import pytest
from steerdose.study import published, settings
from steerdose.study.base import Part
from steerdose.study.config import Model
from steerdose.study.plan import Plan
from steerdose.study.slices import Slices
from study_examples import CONFIG, ROOT, parts, study
from wildcards import Wildcards

CELL = {"model": "smollm2", "behavior": "honesty", "seed": "0"}
CLASSES = {**vars(settings), **vars(published)}
SHARED = {"panels": published.Panels, "resolve_model": Model, "gather_scores": settings.GatherRollouts}
ENTRIES = {
    "train_adapter": "lora", "merge_diff": "lora", "fit_repe": "mean_diff", "draw_control": "random_delta",
    "import_steering": "theirs", "make_parts": "p", "construct_delta": "constructed",
}  # fmt: skip
FUNCTIONS = [name for name, member in inspect.getmembers(Slices) if not name.startswith("_")]


WRITTEN = ("write_texts", "score_texts")


@pytest.fixture(autouse=True)
def root(monkeypatch):
    monkeypatch.chdir(ROOT)


def slices(**values):
    """The slices of the shipped config with an import and parts."""
    theirs = {"kind": "import", "format": "vectors", "positive": "data", "negative": None}
    added = {"methods.theirs": theirs, "methods.p": parts("1-3"), "jobs.methods": 2}
    found = study(**added, **values)
    return Slices(found, Plan(found))


def text(found, name, **wildcards):
    """The text of one rule's slice; the wildcards that are not given are those of the first of its jobs."""
    given = {
        "entry": ENTRIES.get(name),
        "method": "p.3",
        "job": "p.job0",
        "part": "0",
        "task": "mood" if name in WRITTEN else "knowledge",
        "group": "modules",
    }
    member = getattr(found, name)
    return member(Wildcards({**CELL, **given, "probes": "rolled_out", **wildcards})) if callable(member) else member


def kind(name):
    return SHARED.get(name) or CLASSES["".join(part.title() for part in name.split("_"))]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_slice_comes_back_as_its_settings(name):
    found = text(slices(), name)
    parsed = kind(name).parse(found)
    assert parsed.text() == found
    assert kind(name).parse(parsed.text()) == parsed


def test_every_class_of_settings_is_a_slice_or_inside_one():
    own = {settings.__name__, published.__name__}
    classes = {name for name, member in CLASSES.items() if inspect.isclass(member) and issubclass(member, Part)}
    classes = {name for name in classes if CLASSES[name].__module__ in own}
    made = {kind(name).__name__ for name in FUNCTIONS}
    inside = {"Run", "Subject", "Asked", "Rolled", "ForkGrid", "MethodFiles"}
    assert classes - made == inside


def test_the_order_of_keys_and_the_spelling_of_numbers_in_the_config_do_not_reach_a_slice():
    def turned(node):
        if isinstance(node, dict):
            return {key: turned(value) for key, value in reversed(node.items())}
        return node

    same = {"training": turned(CONFIG["methods"]["lora"]["training"]), "kind": "adapter"}
    entry = {**turned(CONFIG["methods"]["lora"]), **same}
    changes = {
        "methods.lora": entry,
        "rollout": {**turned(CONFIG["rollout"]), "alphas": [0.0, 1.0, 1.5, 2, 2.5, 3.0]},
    }
    for name in FUNCTIONS:
        assert text(slices(**changes), name) == text(slices(), name), name


@pytest.mark.parametrize(
    ("change", "rules"),
    [
        ({"methods.lora.training.learning_rate": 0.5}, {"train_adapter", "merge_diff"}),
        ({"methods.lora.delta": "bisector"}, {"merge_diff", "tabulate_methods", "tabulate_geometry"}),  # they name it
        ({"methods.lora.target": 0.25}, set()),  # of the lora job alone, see below
        ({"methods.mean_diff.depths": [0.1]}, {"fit_repe"}),
        ({"repe.batch_size": 3}, {"capture_activations", "sweep_subspaces"}),
        ({"pairs.temperature": 0.5}, {"generate_pairs"}),
        (
            {"rollout.template": "{question}!"},
            {
                *("rollout_trajectories", "design_rollouts", "audit_probe", "roll_reference"),
                *("score_relevance", "score_reference", "screen_parts"),
            },
        ),
        ({"calibration.tolerance": 0.5}, {"calibrate_alpha", "plot_calibration"}),
        ({"calibration.n_audit_prompts": 3}, {"audit_dose"}),
        ({"survival.safe_level": 0.25}, {"tabulate_dose_response", "tabulate_threshold_sweep"}),
        ({"figures.smoothing": 3}, {"plot_spaghetti", "plot_spaghetti_normalised"}),
        ({"reading.n_tokens": 3}, {"write_reading"}),
        ({"deaths.significance": 0.25}, {"tabulate_deaths"}),
        ({"jobs.threads": 3, "jobs.gpus": 0}, set()),
        ({"methods.unused": {"kind": "activation", "estimator": "pca", "depths": [0.5]}}, set()),
        ({"tasks.knowledge.forms.claim.prompt": "So? {claim}"}, {"score_task"}),
        ({"tasks.mood.window": 5}, {"write_texts"}),
        ({"benefit.damages": ["text"]}, {"tabulate_dose", "plot_frontier"}),
        ({"ablations.draws": 3}, {"screen_parts"}),
        ({"ablations.methods": ["lora", "dora"]}, {"share_bases", "tabulate_ablations"}),
        ({"subspaces.causal": ["mean_diff"]}, {"tabulate_subspace_parts"}),
        ({"ablations.widths": [4]}, {"share_bases"}),  # of the group modules, which has no widths, no part
    ],
    ids=lambda value: ", ".join(sorted(value)),
)
def test_a_change_reaches_the_slices_that_depend_on_it_and_no_others(change, rules):
    before, after = slices(), slices(**change)
    assert {name for name in FUNCTIONS if text(before, name) != text(after, name)} == rules


def test_a_target_of_its_own_reaches_the_search_of_that_method_alone():
    before, after = slices(), slices(**{"methods.lora.target": 0.25})
    for job, changes in {"lora": True, "mean_diff": False, "p.job0": False}.items():
        assert (text(before, "calibrate_alpha", job=job) != text(after, "calibrate_alpha", job=job)) == changes
        assert text(before, "audit_dose", job=job) == text(after, "audit_dose", job=job)


def test_a_fit_depends_on_its_options_and_defaults_however_they_are_written():
    spelled = slices(**{"methods.mean_diff": {**CONFIG["methods"]["mean_diff"], "estimator": "chars"}})
    written = {"clusters": 4, "regularisation": 0.1}
    explicit = {**CONFIG["methods"]["mean_diff"], "estimator": "chars", "options": written}
    assert text(slices(**{"methods.mean_diff": explicit}), "fit_repe") == text(spelled, "fit_repe")
    assert settings.FitRepe.parse(text(spelled, "fit_repe")).method.options == written


def test_the_jobs_of_one_entry_differ_in_their_methods_alone():
    found = slices()
    jobs = [settings.RolloutTrajectories.parse(text(found, "rollout_trajectories", job=f"p.job{n}")) for n in (0, 1)]
    assert [list(job.methods) for job in jobs] == [["p.1", "p.2"], ["p.3"]]
    assert jobs[0].model_copy(update={"methods": {}}) == jobs[1].model_copy(update={"methods": {}})


def test_names_of_rules_are_names_of_slices():
    """A slice is named after its rule: the rules that there are, and no others."""
    rules = {name for file in (ROOT / "rules").glob("*.smk") for name in re.findall(r"\brule (\w+):", file.read_text())}
    assert set(FUNCTIONS) - rules == {"panels"}
