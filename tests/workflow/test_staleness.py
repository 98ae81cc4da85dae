"""Which jobs a change makes stale: exactly those, and nothing on a second run.

Dry runs on a finished study whose jobs are symbolic: inputs, params and digests of code are those of the real one.
"""

from pathlib import Path

import pytest
from steerdose.flow.digests import code_digest

ROOT = Path(__file__).parents[2]
RULES = sorted(path.stem for path in (ROOT / "workflow_scripts").glob("*.py"))
TRAINING = {"train_adapter", "merge_diff"}
MAKING = {"generate_pairs", "capture_activations", "fit_repe", *TRAINING}
DOSING = {"calibrate_alpha", "audit_dose", "gather_calibration"}
RELEVANCE = {"score_relevance", "tabulate_relevance", "plot_relevance"}
BENEFIT = {"tabulate_dose", "plot_therapeutic", "plot_frontier", "tabulate_contrasts", "tabulate_claims", "write_start"}
SCORING = {"score_task", "gather_scores", "write_texts", "score_texts", "tabulate_effects", *BENEFIT}
SCORING |= {"tabulate_specificity", "plot_screening"}
ABLATIONS = {"tabulate_ablations", "tabulate_ablation_claims", "plot_retained", "plot_layer_map", "plot_keep_drop"}
SCREEN = {"screen_parts", *ABLATIONS, "plot_parts", "plot_screening"}
SCREEN |= {"tabulate_subspace_parts", "plot_subspace_effects", "tabulate_subspace_claims"}
SUBSPACES = {"sweep_subspaces", "tabulate_subspaces", "plot_subspaces", "plot_subspace_stability"}
SUBSPACES |= {"plot_subspace_layers", "plot_subspace_effects", "tabulate_subspace_claims"}
OF_DELTAS = {"share_bases", "plot_angles", *SUBSPACES, *SCREEN}
ROLLING = {"rollout_trajectories", "gather_rollouts"}
PROBING = {"audit_probe", "set_threshold"}
BANDS = {"roll_reference", "set_bands"}
MODEL = {"resolve_model", "generate_pairs", "train_adapter", "capture_activations", "calibrate_alpha", "audit_dose"}
MODEL |= {
    "write_texts",
    "audit_probe",
    "roll_reference",
    "rollout_trajectories",
    "score_task",
    "score_relevance",
    "score_reference",
    "screen_parts",
}
FIGURES = {rule for rule in RULES if rule.startswith("plot_")}
CURVES = {"plot_survival", "plot_survival_by_dose", "plot_incidence", "plot_prevalence", "tabulate_endpoints"}
DOSES = {"tabulate_dose_response", "plot_dose_response", "plot_lethal_dose", "plot_relevance", "plot_equal_kl"}
DOSES |= BENEFIT
WORTH = {"score_texts", "tabulate_effects", "tabulate_specificity", "plot_screening"}  # of the bands, like deaths
SWEEP = {"tabulate_threshold_sweep", "plot_threshold_sweep"}
PROBES = {"tabulate_probes", "plot_probes"}
DEATHS = {"tabulate_deaths", "plot_death_anatomy"}
KL = {"plot_spaghetti", "plot_spaghetti_normalised", "plot_kl_fan", "plot_aggregate"}
AGGREGATION = {"tabulate_aggregation", "plot_aggregation"}
OF_DEATHS = {*CURVES, *DOSES, *SWEEP, *PROBES, *DEATHS, *KL, *AGGREGATION, "write_reading"}
OF_DEATHS |= {
    "tabulate_ranking",
    "tabulate_survival",
    "tabulate_logrank",
    "tabulate_hazards",
    "tabulate_methods",
    "write_provenance",
}
OF_LIVES = OF_DEATHS - {*SWEEP, *PROBES}  # those are made of forks alone
OF_ROLLOUTS = {"kaplan_meier", "measure_prefixes", "tabulate_delivered_kl", "tabulate_texts", *OF_DEATHS}
OF_ROLLOUTS |= {*RELEVANCE, "tabulate_answers", "tabulate_specificity"}
OF_DOSES = {*DOSING, *ROLLING, *OF_ROLLOUTS, *SCORING, "plot_calibration"}
OF_STEERINGS = {*OF_DOSES, "tabulate_geometry"}


def affected(monkeypatch, module):
    """Return the rules whose digest of code is another once a module of the library is."""
    before = {rule: code_digest(ROOT / "workflow_scripts" / f"{rule}.py") for rule in RULES}
    path, read = ROOT / "workflow_scripts/steerdose" / f"{module}.py", Path.read_bytes
    monkeypatch.setattr(Path, "read_bytes", lambda self: read(self) + b"#" * (self == path))
    return {rule for rule in RULES if code_digest(ROOT / "workflow_scripts" / f"{rule}.py") != before[rule]}


@pytest.mark.parametrize("module", ["flow/progress", "flow/jobs", "flow/provenance", "declarations/survival"])
def test_what_shows_or_checks_reruns_nothing(monkeypatch, module):
    assert affected(monkeypatch, module) == set()


@pytest.mark.parametrize("room", ["figures", "pages", "tables", "survival", "benefit"])
def test_a_room_behind_the_model_reruns_no_model_job(monkeypatch, room):
    for path in (ROOT / "workflow_scripts/steerdose" / room).glob("*.py"):
        with monkeypatch.context() as patch:
            assert not affected(patch, f"{room}/{path.stem}") & (MODEL | MAKING), path


@pytest.mark.parametrize("room", ["engine", "dose", "outcomes"])
def test_a_room_behind_the_steerings_trains_and_fits_nothing(monkeypatch, room):
    for path in (ROOT / "workflow_scripts/steerdose" / room).glob("*.py"):
        with monkeypatch.context() as patch:
            assert not affected(patch, f"{room}/{path.stem}") & {"resolve_model", *MAKING}, path


@pytest.mark.parametrize(
    ("module", "rules"),
    [
        ("make/adapters", {"train_adapter"}),
        ("make/delta", {"merge_diff", "import_steering"}),
        ("make/estimators", {"fit_repe", "build_subspaces"}),
        ("make/pairs", {"generate_pairs"}),
        ("dose/search", {"calibrate_alpha", "screen_parts"}),
        ("dose/meter", {"calibrate_alpha", "audit_dose"}),
        (
            "engine/generate",
            {
                *("calibrate_alpha", "audit_dose", "audit_probe", "roll_reference", "rollout_trajectories"),
                "write_texts",
                "measure_speed",
                "design_rollouts",
            },
        ),
        ("benefit/scorers", {"score_texts"}),
        ("benefit/index", {"tabulate_dose"}),
        ("study/items", {"score_task", "write_texts", "score_texts", "screen_parts"}),
        (
            "benefit/effects",
            {
                *("tabulate_effects", "tabulate_specificity", "tabulate_dose", "tabulate_contrasts", "plot_frontier"),
                "tabulate_ablations",
                "tabulate_subspace_parts",
            },
        ),
        ("benefit/claims", {"tabulate_claims"}),
        (
            "engine/score",
            {"audit_probe", "score_task", "score_relevance", "score_reference", "screen_parts", "measure_speed"},
        ),
        ("outcomes/text", {"audit_probe", "measure_prefixes", "tabulate_texts"}),
        ("outcomes/bands", {"set_bands"}),
        ("outcomes/reference", {"roll_reference"}),
        ("outcomes/relevance", {"score_relevance", "score_reference"}),
        ("survival/thresholds", {"set_threshold"}),
        ("survival/logrank", {"tabulate_logrank"}),
        ("tables/geometry", {"tabulate_geometry"}),
        ("figures/style", FIGURES),
        ("figures/spaghetti", {"plot_spaghetti", "plot_spaghetti_normalised"}),
        ("pages/reading", {"write_reading"}),
        ("exchange/write", {"export_peft", "export_model", "export_control_vector", "write_card"}),
    ],
)
def test_a_module_reruns_the_rules_that_compute_with_it(monkeypatch, module, rules):
    assert affected(monkeypatch, module) == rules


def edit(workspace, module):
    path = workspace.root / f"workflow_scripts/steerdose/{module}.py"
    path.write_text(path.read_text() + "\n# edited\n")


@pytest.mark.slow
class TestFinished:
    """Families of rules that a finished study would run again."""

    def test_a_second_run_has_nothing_to_do_nor_has_one_after_changes_of_no_account(self, symbols):
        edit(symbols, "flow/progress")
        text = symbols.read("config.yaml")
        options = "options: {r: 16, lora_alpha: 32, lora_dropout: 0.0}"
        assert options in text
        text = text.replace(options, "options: {lora_dropout: 0.0, lora_alpha: 32, r: 16}")
        new = "  unused:\n    kind: activation\n    estimator: mean_diff\n    depths: [0.2]\n  mean_diff:\n"
        (symbols.root / "config.yaml").write_text(text.replace("  mean_diff:\n", new))
        assert "Nothing to be done" in symbols.snakemake().stderr

    @pytest.mark.parametrize(
        ("changes", "rules"),
        [
            (
                {"methods": {"lora": {"training": {"steps": 5}}}},
                {*TRAINING, *OF_STEERINGS, *OF_DELTAS, "plot_training"},
            ),
            ({"methods": {"lora": {"delta": "bisector"}}}, {"merge_diff", *OF_STEERINGS, *OF_DELTAS}),
            ({"methods": {"lora": {"target": 0.3}}}, {*OF_DOSES, *SCREEN, *SUBSPACES}),
            ({"rollout": {"alphas": [0, 1, 2, 3]}}, {*ROLLING, *OF_ROLLOUTS, *SCORING}),
            ({"rollout": {"n_questions": 3}}, {*ROLLING, *OF_ROLLOUTS, *PROBING}),
            ({"survival": {"threshold": {"value": 0.5}}}, {"set_threshold", "kaplan_meier", *OF_DEATHS}),
            ({"survival": {"safe_level": 0.4}}, {*DOSES, *SWEEP, "tabulate_endpoints", "write_provenance"}),
            ({"endpoints": {"text": {"stretch": 4}}}, {"kaplan_meier", *OF_LIVES, *WORTH}),
            (
                {"reference": {"n_questions": 41}},
                {
                    *(*BANDS, "kaplan_meier", *OF_LIVES, *WORTH, "score_reference", "tabulate_relevance"),
                    *SCREEN,
                    *("score_task", "gather_scores"),  # of the task that reads the unsteered model's answers
                },
            ),
            ({"figures": {"smoothing": 3}}, {"plot_spaghetti", "plot_spaghetti_normalised", "write_provenance"}),
            (
                {"probes": {"new": {"kind": "splice", "question": None, "prefill": "So:", "answers": ["yes", "no"]}}},
                {"audit_probe", *PROBES, "write_provenance"},
            ),
        ],
    )
    def test_a_key_reruns_what_comes_of_it(self, symbols, changes, rules):
        symbols.configure(**changes)
        assert set(symbols.stale()) == rules

    def test_another_method_adds_its_own_chain(self, symbols):
        early = {"kind": "activation", "estimator": "mean_diff", "depths": [0.2]}
        symbols.configure(study={"methods": ["lora", "mean_diff", "early"]}, methods={"early": early})
        stale = symbols.stale()
        assert set(stale) == {"fit_repe", *OF_STEERINGS}
        assert {stale[rule] for rule in {"fit_repe", *DOSING, *ROLLING, "kaplan_meier", "measure_prefixes"}} == {1}

    def test_a_prompt_and_a_control_add_no_fit(self, symbols):
        symbols.configure(study={"methods": ["lora", "mean_diff", "simple_prompt", "random_direction"]})
        stale = symbols.stale()
        assert set(stale) == {"draw_control", *OF_STEERINGS}
        assert (stale["draw_control"], stale["calibrate_alpha"], stale["rollout_trajectories"]) == (1, 2, 2)

    def test_a_caption_reruns_its_table(self, symbols):
        path = symbols.root / "workflow_scripts/steerdose/declarations/survival.py"
        text = path.read_text()
        caption = 'reading="What became of the trajectories'
        assert caption in text
        path.write_text(text.replace(caption, f"{caption[:9]}Edited. {caption[9:]}"))
        assert symbols.stale() == {"tabulate_survival": 1, "write_provenance": 1}
