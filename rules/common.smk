"""Constants, wildcard constraints and input functions; no rules."""

import json
import re
import sys
from pathlib import Path

ROOT = Path(workflow.basedir)
if str(ROOT / "workflow_scripts") not in sys.path:
    sys.path.insert(0, str(ROOT / "workflow_scripts"))

from steerdose.study.checks import check_config
from steerdose.flow.digests import code_digest

check_config(config)

STUDY = config["study"]
CELL = "results/{model}/{behavior}/seed{seed}"
MODEL = "results/models/{model}"
FIGURES = [
    "survival",
    "survival_by_dose",
    "dose_response",
    "lethal_dose",
    "threshold_sweep",
    "spaghetti",
    "spaghetti_normalised",
    "kl_fan",
    "aggregate",
    "death_anatomy",
    "probes",
    "calibration",
    "training",
    "aggregation",
]
ENV = "../envs/cpu.yaml"  # or cuda.yaml; used with --sdm conda only
GPU = {"gpu": 1, "mem_mb": 4000, "runtime": 60}


def methods_of(kind):
    """Return the names of the config's methods of one kind."""
    return [name for name, method in config["methods"].items() if method["kind"] == kind]


def steered_methods():
    """Return the names of the config's methods that are a steering with a dose: all but prompts."""
    return [name for name in config["methods"] if name not in methods_of("prompt")]


def one_of(names):
    return "|".join(re.escape(str(name)) for name in names) or "(?!)"


wildcard_constraints:
    model=one_of(config["models"]),
    behavior="[A-Za-z0-9_.-]+",
    seed="[0-9]+",
    method=one_of(config["methods"]),
    sign="positive|negative",
    figure=one_of(FIGURES),
    alpha=r"-?[0-9]+(\.[0-9]+)?",


def code(script):
    """Return the digest of the library modules that a script uses; editing one of them reruns its rule."""
    return code_digest(ROOT / "workflow_scripts" / f"{script}.py")


def settings(**parts):
    """Return config slices as text that changes if and only if their content does."""
    return json.dumps(parts, sort_keys=True)


def model_settings(model, **parts):
    """Return settings of a rule that runs the model."""
    return settings(dtype=config["models"][model]["dtype"], device=config["device"], **parts)


def steering_settings(method):
    """Return the part of a method's entry that its steering depends on."""
    return {key: value for key, value in config["methods"][method].items() if key != "target"}


def training_settings(method):
    """Return the part of an adapter's entry that its training depends on."""
    return {key: value for key, value in steering_settings(method).items() if key != "delta"}


def calibration_settings(method):
    """Return the calibration's settings with the method's own target, where it has one."""
    target = config["methods"][method].get("target", config["calibration"]["target"])
    return {**config["calibration"], "target": target}


def prompt_settings(method):
    """Return the style of a prompt baseline, and the calibration's settings that it depends on."""
    search = ("target", "tolerance", "max_evaluations")
    measure = {key: value for key, value in config["calibration"].items() if key not in search}
    return {**measure, "style": config["methods"][method]["style"]}


def trajectory_settings(model, **parts):
    """Return what a trajectory depends on besides its doses and probes: the audit and the rollouts share it."""
    own = ("alphas", "probes", "readings")
    shared = {key: value for key, value in config["rollout"].items() if key not in own}
    return model_settings(model, **shared, **parts)


def rollout_settings(model, **parts):
    """Return what a trajectory and its forks depend on besides the doses."""
    rollout = config["rollout"]
    probes = {name: config["probes"][name] for name in rollout["probes"]}
    return trajectory_settings(model, probes=probes, readings=rollout["readings"], **parts)


def local_files(source):
    """Return the files of a source that is a local path, and none of a remote one."""
    source = Path(source)
    if source.is_file():
        return [str(source)]
    return sorted(str(path) for path in source.glob("*") if path.is_file()) if source.is_dir() else []


def local_source(wildcards):
    """Return the files of a local model source, so that a changed model is resolved again."""
    return local_files(config["models"][wildcards.model]["source"])


def imported_files(wildcards):
    """Return the local files that an import reads, so that changed ones are imported again."""
    method = config["methods"][wildcards.method]
    return [file for side in ("positive", "negative") if method[side] for file in local_files(method[side])]


def controlled_steering(wildcards):
    """Return the steering that a random control copies in kind and norm."""
    path = f"{CELL}/steering/{{of}}.safetensors"
    return path.format(**dict(wildcards.items()), of=config["methods"][wildcards.method]["of"])


def target_reference(wildcards):
    """Return the measured prompt that a method's target names; nothing where the target is in nats."""
    target = calibration_settings(wildcards.method)["target"]
    path = f"{CELL}/calibration/{{prompt}}.json"
    return path.format(**dict(wildcards.items()), **target) if isinstance(target, dict) else []


def study_methods(pattern, methods=None):
    """Return `pattern` for every cell and method of the study, in the config's order."""
    chosen = [name for name in STUDY["methods"] if methods is None or name in methods]
    return expand(
        pattern,
        model=STUDY["models"],
        behavior=STUDY["behaviors"],
        seed=STUDY["seeds"],
        method=chosen,
    )


def study_cells(methods=None):
    """Return model, behavior, seed, method and kind of every method of the study."""
    keys = study_methods("{model}/{behavior}/{seed}/{method}", methods)
    cells = [dict(zip(["model", "behavior", "seed", "method"], key.split("/"))) for key in keys]
    return [{**cell, "seed": int(cell["seed"]), "kind": config["methods"][cell["method"]]["kind"]} for cell in cells]


def method_files():
    """Return the cells of the study with what the table of methods reads of each: its files, and its jobs' times."""
    calibrate, geometry = "calibrate_alpha/{cell}", f"{CELL}/steering/{{method}}.geometry.json"
    jobs = {
        "adapter": ["train_adapter/{cell}.positive", "train_adapter/{cell}.negative", "merge_diff/{cell}", calibrate],
        "activation": ["fit_repe/{cell}", calibrate],
        "random": ["draw_control/{cell}", calibrate],
        "import": ["import_steering/{cell}", calibrate],
        "prompt": ["measure_prompt/{cell}"],
    }
    return [
        {
            **cell,
            "calibration": f"{CELL}/calibration/{{method}}.json".format(**cell),
            "geometry": geometry.format(**cell) if cell["kind"] != "prompt" else None,
            "benchmarks": [
                f"results/benchmarks/{job}.tsv".format(cell="{model}.{behavior}.seed{seed}.{method}".format(**cell))
                for job in jobs[cell["kind"]]
            ],
        }
        for cell in study_cells()
    ]


def trained_losses():
    """Return the loss tables of the study's adapters, both signs."""
    pattern = f"{CELL}/adapters/{{method}}.{{{{sign}}}}.training.parquet"
    return expand(study_methods(pattern, methods_of("adapter")), sign=["positive", "negative"])


def study_results():
    """Return the files that `rule all` makes."""
    figures = [name for name in FIGURES if name != "training" or trained_losses()]
    pictures = expand("results/figs/{figure}.{ext}", figure=figures, ext=["png", "svg"])
    pages = expand(f"{CELL}/reading.html", model=STUDY["models"], behavior=STUDY["behaviors"], seed=STUDY["seeds"])
    return [*pictures, *pages] + expand(
        "results/tables/{table}.{ext}",
        table=["methods", "seeds", "survival", "logrank", "hazards", "dose_response", "threshold_sweep", "probes"]
        + ["deaths", "death_events", "death_agreement", "texts", "geometry", "aggregation"],
        ext=["csv", "html"],
    )
