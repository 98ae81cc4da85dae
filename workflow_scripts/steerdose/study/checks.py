"""Validation of a study's config before the DAG exists: schema, cross-references, data files; all problems at once."""

import ast
import math
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from steerdose.errors import SteerdoseError
from steerdose.flow.digests import LIBRARY
from steerdose.study.texts import load_personas, load_prompts, load_questions, load_system_prompts, schema_problems

HUB_ID = re.compile(r"(?![./])[\w.-]+/[\w.-]+@[\w./-]+")


def check_config(config: dict[str, Any]) -> None:
    """Raise SteerdoseError with every problem of the config, each with its key path and what to do."""
    problems = [_hint(problem) for problem in schema_problems(config, "config.schema.yaml")] + _not_finite(config)
    if not problems:
        problems = [*_names(config), *_layers(config), *_estimators(config), *_controls(config)]
        problems += [*_imports(config), *_data(config), *_prompts(config)]
    if problems:
        raise SteerdoseError("config.yaml is not valid:\n  " + "\n  ".join(problems))


def _not_finite(value: Any, path: str = "") -> list[str]:
    """YAML knows .nan and .inf, JSON Schema does not: every comparison with them passes."""
    if isinstance(value, float) and not math.isfinite(value):
        return [f"{path}: {value} is not a finite number"]
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [problem for key, inner in items for problem in _not_finite(inner, f"{path}.{key}".lstrip("."))]


def _hint(problem: str) -> str:
    if problem.startswith("rollout.alphas: ") and "does not contain items" in problem:
        return "rollout.alphas: must contain 0, the unsteered model that every dose is compared with; add 0 to the list"
    if problem.startswith("rollout.window: "):
        return f"{problem}; the window is the number of tokens to roll out, for example 128"
    if ".peft_type: " in problem:
        return f"{problem}; give one of PEFT's tuner families, for example LORA"
    return problem


def _names(config: dict[str, Any]) -> Iterator[str]:
    study = config["study"]
    for key in ("models", "methods"):
        for name in study[key]:
            if name not in config[key]:
                yield f"study.{key}: '{name}' is not defined under {key} (defined: {sorted(config[key])})"
    for name in config["rollout"]["probes"]:
        if name not in config["probes"]:
            yield f"rollout.probes: '{name}' is not defined under probes (defined: {sorted(config['probes'])})"
    for name, probe in config["probes"].items():
        if (probe["kind"] == "interrupt") != bool((probe["question"] or "").strip()):
            yield f"probes.{name}.question: kind interrupt needs a question, kind splice has none (question: null)"


def _layers(config: dict[str, Any]) -> Iterator[str]:
    for name in config["study"]["methods"]:
        method = config["methods"].get(name, {})
        first, last = method.get("layer_range", (0, 1))
        if first >= last:
            yield f"methods.{name}.layer_range: {first} to {last} is empty; give two rising fractions like [0.3, 0.8]"


@cache
def estimator_options() -> dict[str, dict[str, Any]]:
    """Return the options of each activation estimator with their defaults, from the source: torch stays unloaded."""
    tree = ast.parse((LIBRARY / "make/estimators.py").read_text(encoding="utf-8"))
    return {
        node.name: {
            option.arg: ast.literal_eval(default)
            for option, default in zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True)
            if default is not None
        }
        for node in tree.body
        if isinstance(node, ast.FunctionDef) and any(ast.unparse(mark) == "estimator" for mark in node.decorator_list)
    }


def _estimators(config: dict[str, Any]) -> Iterator[str]:
    known = estimator_options()
    for name, method in config["methods"].items():
        if method["kind"] != "activation":
            continue
        if method["estimator"] not in known:
            yield f"methods.{name}.estimator: '{method['estimator']}' is not one of {sorted(known)}"
            continue
        accepted = known[method["estimator"]]
        for key, value in method.get("options", {}).items():
            if key not in accepted:
                yield f"methods.{name}.options: '{key}' is unknown to {method['estimator']}; it accepts {accepted}"
            elif type(value) is not type(accepted[key]) and (type(accepted[key]), type(value)) != (float, int):
                yield f"methods.{name}.options.{key}: {value!r} is no {type(accepted[key]).__name__}"


def _controls(config: dict[str, Any]) -> Iterator[str]:
    copied = [name for name, method in config["methods"].items() if method["kind"] not in ("random", "prompt")]
    for name, method in config["methods"].items():
        if method["kind"] == "random" and method["of"] not in copied:
            yield f"methods.{name}.of: '{method['of']}' has no steering to copy; give one of {copied}"


def _prompts(config: dict[str, Any]) -> Iterator[str]:
    """Prompt baselines: targets that name one, a study of nothing else, behaviors without texts."""
    methods, study = config["methods"], config["study"]
    prompts = [name for name, method in methods.items() if method["kind"] == "prompt"]
    targets = {"calibration.target": config["calibration"]["target"]}
    targets |= {f"methods.{name}.target": method["target"] for name, method in methods.items() if "target" in method}
    named = {key: target["prompt"] for key, target in targets.items() if isinstance(target, dict)}
    for key, name in named.items():
        if name not in prompts:
            yield f"{key}.prompt: '{name}' is not a method of kind prompt; give one of {prompts}, or a number of nats"
    if all(name in prompts for name in study["methods"]):
        yield f"study.methods: {study['methods']} are all prompts, which have no dose; add a method that has one"
    if named or any(name in prompts for name in study["methods"]):
        try:
            behaviors = load_system_prompts(config["data"]["system_prompts"])
        except SteerdoseError as error:
            yield str(error)
            return
        for name in study["behaviors"]:
            if name not in behaviors:
                yield f"study.behaviors: '{name}' has no texts in data.system_prompts (it has {sorted(behaviors)})"


def _imports(config: dict[str, Any]) -> Iterator[str]:
    for name, method in config["methods"].items():
        if method["kind"] != "import":
            continue
        for side in ("positive", "negative"):
            if (source := method[side]) and not Path(source).exists() and not HUB_ID.fullmatch(source):
                yield f"methods.{name}.{side}: '{source}' is no existing path and no hub id 'owner/name@revision'"
        if "delta" in method and (method["format"] != "peft" or not method["negative"]):
            yield f"methods.{name}.delta: only two adapters (format peft, positive and negative) have one; remove it"
        if method["format"] != "checkpoint" and (unknown := set(method.get("ignore", ())) - {"base_model"}):
            yield f"methods.{name}.ignore: {sorted(unknown)}: format {method['format']} can only ignore base_model"


def _data(config: dict[str, Any]) -> Iterator[str]:
    try:
        splits = [prompt.split for prompt in load_prompts(config["data"]["prompts"])]
        wanted = {
            "pairs.n_prompts": ("pairs", config["pairs"]["n_prompts"]),
            "calibration.n_prompts": ("calibration", config["calibration"]["n_prompts"]),
            "calibration.n_audit_prompts": ("audit", config["calibration"]["n_audit_prompts"]),
        }
        for key, (split, count) in wanted.items():
            if splits.count(split) < count:
                yield f"{key}: {count} prompts wanted, data.prompts has {splits.count(split)} in split '{split}'"
    except SteerdoseError as error:
        yield str(error)
    try:
        available = len(load_questions(config["data"]["questions"]))
        if available < config["rollout"]["n_questions"]:
            yield f"rollout.n_questions: {config['rollout']['n_questions']} wanted, data.questions has {available}"
    except SteerdoseError as error:
        yield str(error)
    try:
        personas = load_personas(config["data"]["personas"])
        for name in config["study"]["behaviors"]:
            if name not in personas:
                yield f"study.behaviors: '{name}' has no personas in data.personas (it has {sorted(personas)})"
    except SteerdoseError as error:
        yield str(error)
