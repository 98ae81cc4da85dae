"""Digests of code: a rule depends on the modules that its files are computed with, and on no others."""

import ast
import shutil

import pytest
from steerdose.flow import digests
from steerdose.flow.digests import LIBRARY, code_digest, imported_modules

SCRIPTS = sorted(path.stem for path in LIBRARY.parent.glob("*.py"))
DRAWN = {name for name in SCRIPTS if name.startswith("plot_")}
TABULATED = {name for name in SCRIPTS if name.startswith("tabulate_")}
EXPORTED = {name for name in SCRIPTS if name.startswith("export_")} | {"write_card"}
STEERED = {
    "calibrate_alpha",
    "audit_dose",
    "rollout_trajectories",
    "design_rollouts",
    "score_task",
    "write_texts",
}  # run the model under steerings
MADE = {
    "merge_diff", "fit_repe", "construct_delta", "draw_control", "import_steering", "make_parts",
}  # write steerings  # fmt: skip
ABLATED = {"share_bases", "screen_parts"}  # take steerings apart
SUBSPACES = {"capture_sites", "build_subspaces", "sweep_subspaces"}
UNSTEERED = {"audit_probe", "roll_reference", "score_relevance", "score_reference"}  # run the engine without one
LOADED = {"generate_pairs", "train_adapter", "capture_activations", "audit_probe"}  # run the model as it is


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A library of two rooms and a script that uses most of it, in every way of importing."""
    sources = {
        "__init__": "",
        "room/__init__": "",
        "room/a": "from .b import x\nimport json\n",
        "room/b": "def f():\n    from . import c\n    return c\n",
        "room/c": "from ..far import up\n",
        "far/__init__": "from steerdose.far.up import y\n",
        "far/up": "UP = 1\n",
        "d": "from numpy import array\nimport steerdose.room.e\n",
        "room/e": "E = 1\n",
        "flow/__init__": "",
        "flow/bar": "BAR = 1\n",
        "study/__init__": "",
        "study/config": "from steerdose.room.c import C\n",
        "study/texts": "from .config import TEXTS\n",
        "room/unused": "from .c import C\n",
    }
    for name, text in sources.items():
        path = tmp_path / f"steerdose/{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (tmp_path / "script.py").write_text(
        "from steerdose.room.a import x\nfrom steerdose.flow.bar import b\n"
        "from steerdose.study.texts import t\nif b:\n    from steerdose import d\n"
    )
    monkeypatch.setattr(digests, "LIBRARY", tmp_path / "steerdose")
    digests.direct_imports.cache_clear()
    yield tmp_path
    digests.direct_imports.cache_clear()


def test_imported_modules_are_the_transitive_imports(package):
    found = {str(path.relative_to(package / "steerdose")) for path in imported_modules(package / "script.py")}
    rooms = {f"{room}/__init__.py" for room in ("room", "far", "flow", "study")}
    modules = {"room/a.py", "room/b.py", "room/c.py", "room/e.py", "far/up.py", "d.py", "flow/bar.py"}
    assert found == {*modules, "study/config.py", "study/texts.py", *rooms}


@pytest.mark.parametrize(
    ("edited", "changes"),
    [
        *[(name, True) for name in ("room/a", "room/b", "room/c", "room/e", "far/up", "far/__init__", "d")],
        ("study/texts", True),
        *[(name, False) for name in ("room/unused", "flow/bar", "study/config", "../script")],
    ],
)
def test_the_digest_follows_the_modules_that_are_used(package, edited, changes):
    before = code_digest(package / "script.py")
    path = package / "steerdose" / f"{edited}.py"
    path.write_text(path.read_text() + "# a comment\n")
    digests.direct_imports.cache_clear()
    assert (code_digest(package / "script.py") != before) == changes


@pytest.fixture(name="edited", scope="module")
def edited_fixture(tmp_path_factory):
    """Edit a module of a copy of the library; return the scripts whose digest changes. Edits are taken back."""
    copy = tmp_path_factory.mktemp("copy") / "workflow_scripts"
    shutil.copytree(LIBRARY.parent, copy, ignore=shutil.ignore_patterns("__pycache__"))

    def all_digests():
        digests.direct_imports.cache_clear()
        return {name: code_digest(copy / f"{name}.py") for name in SCRIPTS}

    def run(module):
        path = copy / "steerdose" / module
        text = path.read_text()
        path.write_text(text + "\n# edited\n")
        after = all_digests()
        path.write_text(text)
        return {name for name in SCRIPTS if after[name] != before[name]}

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(digests, "LIBRARY", copy / "steerdose")
        before = all_digests()
        yield run
    digests.direct_imports.cache_clear()


@pytest.mark.parametrize(
    "module",
    [
        *("flow/progress.py", "flow/jobs.py", "flow/provenance.py", "flow/targets.py", "flow/digests.py"),
        *("study/config.py", "study/methods.py", "study/settings.py", "study/slices.py", "study/load.py"),
        *sorted(str(path.relative_to(LIBRARY)) for path in (LIBRARY / "declarations").glob("*.py")),
        "generated.py",
    ],
)
def test_progress_settings_captions_and_columns_rerun_nothing(edited, module):
    assert edited(module) == set()


def test_every_script_depends_on_something(edited):
    assert edited("errors.py") == set(SCRIPTS)


def test_the_style_of_figures_redraws_figures_alone(edited):
    assert edited("figures/style.py") == DRAWN


def test_how_tables_are_published_makes_tables_anew_and_what_is_drawn_with_them(edited):
    assert TABULATED <= edited("tables/publish.py") - {"write_provenance"} <= TABULATED | DRAWN


@pytest.mark.parametrize(
    ("module", "scripts"),
    [
        ("make/estimators.py", {"fit_repe", "build_subspaces"}),
        ("make/fit.py", {"fit_repe"}),
        ("make/modes.py", {"fit_repe", "construct_delta", "build_subspaces"}),
        ("make/construct.py", {"construct_delta"}),
        (
            "make/captures.py",
            {"capture_activations", "fit_repe", "construct_delta", "capture_sites", "sweep_subspaces"},
        ),
        ("make/adapters.py", {"train_adapter"}),
        ("make/pairs.py", {"generate_pairs"}),
        ("make/controls.py", {"draw_control"}),
        ("make/parts.py", {"make_parts", "screen_parts"}),
        ("make/bases.py", {"share_bases", "make_parts", "screen_parts"}),
        ("cuts/ways.py", {"make_parts", "screen_parts"}),
        ("cuts/whole.py", {"share_bases", "make_parts", "screen_parts", "sweep_subspaces"}),
        ("cuts/projections.py", {"make_parts", "screen_parts"}),
        ("engine/replay.py", {"screen_parts"}),
        ("steering/merge.py", {"screen_parts"}),
        ("ablation/screen.py", {"screen_parts"}),
        ("ablation/shares.py", {"tabulate_ablations", "tabulate_subspace_parts"}),
        ("ablation/claims.py", {"tabulate_ablation_claims", "plot_keep_drop"}),
        ("model/residual.py", SUBSPACES),
        ("subspaces/of_weights.py", {"build_subspaces"}),
        ("subspaces/of_attention.py", {"build_subspaces"}),
        ("subspaces/labels.py", {"sweep_subspaces"}),
        ("subspaces/resampling.py", {"tabulate_subspaces"}),
        ("subspaces/claims.py", {"tabulate_subspace_claims"}),
        ("make/delta.py", {"merge_diff", "import_steering"}),
        ("exchange/read.py", {"import_steering"}),
        ("exchange/write.py", EXPORTED),
        ("exchange/card.py", {"write_card"}),
        (
            "steering/steering.py",
            {
                *MADE,
                *STEERED,
                *EXPORTED,
                "run_lm_eval",
                "measure_speed",
                *UNSTEERED,
                "tabulate_geometry",
                *ABLATED,
                "build_subspaces",
                "sweep_subspaces",
            },
        ),
        ("model/sources.py", {"resolve_model", "import_steering"}),
    ],
)
def test_an_edit_reruns_exactly_the_rules_that_compute_with_it(edited, module, scripts):
    assert edited(module) == scripts


def test_seeds_are_drawn_where_answers_trainings_controls_and_resamplings_are(edited):
    drawn = edited("seeds.py") - TABULATED - DRAWN
    assert drawn >= {"generate_pairs", "train_adapter", "fit_repe", "draw_control", "roll_reference"}
    assert drawn.isdisjoint({"merge_diff", "capture_activations", "resolve_model"})


@pytest.mark.parametrize("module", sorted(path.name for path in (LIBRARY / "engine").glob("[!_]*.py")))
def test_the_engine_makes_no_steering_anew(edited, module):
    found = edited(f"engine/{module}")
    assert not found & {*MADE, "generate_pairs", "train_adapter", "capture_activations", "resolve_model", *EXPORTED}


def test_generating_is_a_matter_of_those_that_generate(edited):
    found = edited("engine/generate.py")
    assert {"calibrate_alpha", "audit_dose", "rollout_trajectories"} <= found
    assert not found & (TABULATED | DRAWN)


@pytest.mark.parametrize("room", ["survival", "tables", "figures", "pages"])
def test_what_comes_after_the_rollouts_runs_no_model_anew(edited, room):
    """But for doses that are placed by deaths; such a job keeps its trajectories, see `design.rollouts`."""
    for path in (LIBRARY / room).glob("[!_]*.py"):
        found = edited(f"{room}/{path.name}")
        assert not found & {*MADE, *STEERED, *LOADED, "resolve_model"} - {"design_rollouts"}, path.name


@pytest.mark.parametrize("script", ["kaplan_meier", "set_threshold", *sorted(DRAWN), *sorted(TABULATED)])
def test_scripts_without_a_model_do_not_import_torch(script):
    if script == "tabulate_geometry":
        pytest.skip("it multiplies matrices of steerings")
    modules = imported_modules(LIBRARY.parent / f"{script}.py")
    assert modules
    assert not [path.name for path in modules for name in top_level_names(path) if name in ("torch", "transformers")]


def top_level_names(path):
    """Yield the first part of every absolute import of a file."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield node.module.partition(".")[0]
