"""One command for those who have a vector: which dose of it, what that buys, and what it breaks.

`make dose VECTOR=path MODEL=source` writes an overlay of the config that says so, runs the study in it, and prints what
the table of doses says. The overlay stays, to go on from.
"""

import argparse
import re
import sys
from pathlib import Path
from typing import Any

import gguf
import polars as pl
import yaml

from steerdose.console.follow import follow
from steerdose.declarations.benefit import RECOMMENDED
from steerdose.errors import SteerdoseError
from steerdose.files import read_json, read_table

ALPHAS = [0, 0.25, 0.5, 1, 1.5, 2, 3]  # the smallest dose with an effect is often below the calibrated one
SUFFIXES = {".pt": "steering_vectors", ".pth": "steering_vectors", ".npz": "vectors", ".safetensors": "vectors"}
FOLDERS = {"adapter_config.json": "peft", "config.json": "checkpoint"}
TARGETS = (
    "results/tables/dose.html", "results/tables/effects.html", "results/tables/specificity.html",
    "results/figs/therapeutic.png", "results/figs/survival.png",
)  # fmt: skip
HEAD = """\
# Written by `make dose`, laid over config.yaml; yours to change. Go on with
# make survival OVERLAY="--configfile {name}", or any other target.
"""


def format_of(vector: str) -> str:
    """Return the import format of a file or directory. Raises SteerdoseError for one that is none."""
    path = Path(vector)
    if path.is_dir():
        found = next((kind for name, kind in FOLDERS.items() if (path / name).is_file()), None)
        if found is None:
            raise SteerdoseError(
                f"VECTOR: {vector} is neither a PEFT adapter nor a model: it has no {' or '.join(FOLDERS)}"
            )
        return found
    if not path.is_file():
        raise SteerdoseError(f"VECTOR: there is no file or folder '{vector}'")
    if path.suffix == ".gguf":
        try:
            kind = gguf.GGUFReader(path).get_field("general.architecture")
        except (OSError, ValueError, IndexError, KeyError) as error:
            raise SteerdoseError(f"VECTOR: {vector} is not a readable GGUF file: {error}") from error
        if kind is None or kind.contents() != "controlvector":
            raise SteerdoseError(f"VECTOR: {vector} is a GGUF model and no control vector; a model is given as MODEL")
        return "control_vector"
    if path.suffix not in SUFFIXES:
        raise SteerdoseError(f"VECTOR: {vector} ends in none of {', '.join(['.gguf', *SUFFIXES])}; see docs/methods.md")
    return SUFFIXES[path.suffix]


def name_of(source: str) -> str:
    """Return the last part of a path or id as a name of the config."""
    last = Path(source.partition("@")[0].rstrip("/")).name
    last = re.sub(r"\.(gguf|npz|safetensors|pth?)$", "", last)
    return re.sub(r"[^A-Za-z0-9_]+", "_", last).strip("_").lower() or "mine"


def model_of(source: str, known: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Return the name of a model, and its entry where the config does not have it.

    source: a key of `models`, a directory, a .gguf file, pypi://..., or a hub id owner/name@revision.
    """
    if source in known:
        return source, {}
    place, _, revision = (source, "", "") if Path(source).exists() or "://" in source else source.partition("@")
    entry = {"source": place, "revision": revision or None, "sha256": None, "dtype": "float32"}
    return name_of(place), {**entry, "chat_template": None, "trust_remote_code": False}


def overlay(vector: str, model: str, behavior: str, layers: str, config: dict[str, Any]) -> dict[str, Any]:
    """Return what is laid over the config: the vector beside a random copy of it and two prompts."""
    effects, damages = config["benefit"]["effects"], config["benefit"]["damages"]
    if behavior not in effects:
        raise SteerdoseError(f"BEHAVIOR: '{behavior}' has no task that shows it; there are {', '.join(effects)}")
    name, (model_name, entry) = name_of(vector), model_of(model, config["models"])
    name = f"{name}_vector" if name in config["methods"] else name
    mine: dict[str, Any] = {"kind": "import", "format": format_of(vector), "positive": vector, "negative": None}
    mine |= {"layers": [each.strip() for each in layers.split(",")]} if layers else {}
    controls = {f"{name}_random": {"kind": "random", "of": name, "draw": 0}}
    return {
        "study": {
            **{"models": [model_name], "behaviors": [behavior], "seeds": [0]},
            "methods": [name, *controls, "simple_prompt", "engineered_prompt"],
            "tasks": list(dict.fromkeys(each.partition(".")[0] for each in (effects[behavior], *damages))),
        },
        **({"models": {model_name: entry}} if entry else {}),
        "methods": {name: mine, **controls},
        "rollout": {"alphas": ALPHAS},
    }


def write_overlay(given: dict[str, Any]) -> Path:
    """Write an overlay in this folder, or leave one that is there and is for the same vector and model."""
    name = next(iter(given["methods"]))
    path = Path(f"{name}.yaml")
    if path.exists():
        there = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
        entries = [(key, *entry) for key in ("methods", "models") for entry in given.get(key, {}).items()]
        same = all(there.get(key, {}).get(name) == entry for key, name, entry in entries)
        if not same or there["study"]["models"] != given["study"]["models"]:
            raise SteerdoseError(
                f"{path} is there and is for another vector, layers or model: move it away, or use it as it is with "
                f'make survival OVERLAY="--configfile {path}"'
            )
        print(f"{path} is there, and is used as it is.")
        return path
    text = HEAD.format(name=path) + yaml.safe_dump(given, sort_keys=False, default_flow_style=None, width=100)
    path.write_text(text, encoding="utf-8")
    print(f"{path} is written.")
    return path


def summary(cell: dict[str, Any], method: str) -> tuple[list[str], float]:
    """Return what the study says of a method, line by line, and the alpha to export."""
    place = "results/{model}/{behavior}/seed{seed}".format(**cell)
    held = read_json(f"{place}/steering/{method}.geometry.json")
    modules = [each["module"] for each in held["modules"]]
    shown = ", ".join(modules if len(modules) < 6 else [modules[0], "...", modules[-1]])
    rows = read_table("results/tables/dose.parquet", RECOMMENDED).filter(pl.col("method") == method, **cell)
    best = rows.filter(pl.col("alpha").is_not_null())["alpha"]
    lines = ["", f"Applied: {len(modules)} of the {held['n_held']} edits that it holds, at {shown}.", ""]
    lines += rows["sentence"].to_list()
    pages = ("results/tables/dose.html", "results/figs/therapeutic.png", f"{place}/reading.html")
    return [*lines, "", *(f"See {page}" for page in pages)], float(best[0]) if len(best) else 1.0


def main() -> None:
    """Do what `make dose` is asked for."""
    parser = argparse.ArgumentParser(prog="make dose", description=__doc__)
    for name, default in (("vector", ""), ("model", ""), ("behavior", "honesty"), ("layers", ""), ("cores", "1")):
        parser.add_argument(f"--{name}", default=default)
    given = parser.parse_args()
    for name in ("vector", "model"):
        if not getattr(given, name):
            raise SteerdoseError(f"{name.upper()} is missing: make dose VECTOR=honest.gguf MODEL=smollm2")
    config = yaml.safe_load(Path("config.yaml").read_text(encoding="utf-8"))
    wanted = overlay(given.vector, given.model, given.behavior, given.layers, config)
    path = write_overlay(wanted)
    chosen = yaml.safe_load(path.read_text(encoding="utf-8"))["study"]
    cell = {"model": chosen["models"][0], "behavior": chosen["behaviors"][0], "seed": chosen["seeds"][0]}
    method = next(iter(wanted["methods"]))
    print(f"'{method}' is judged as a steering toward {cell['behavior']}: BEHAVIOR chooses what it is for.\n")
    run = ["--configfile", str(path), "--cores", given.cores, "--resources", "gpu=1", "--"]
    follow([*run, *TARGETS, "results/{model}/{behavior}/seed{seed}/reading.html".format(**cell)])
    lines, alpha = summary(cell, method)
    card = f"results/export/{cell['model']}.{cell['behavior']}.seed{cell['seed']}.{method}.alpha{alpha:g}/card.md"
    follow([*run, card])
    print("\n".join([*lines, f"See {card}, and dose.json beside it"]))


if __name__ == "__main__":
    try:
        main()
    except SteerdoseError as error:
        sys.exit(f"make dose: {error}")
