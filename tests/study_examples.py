"""The shipped config, whole or changed, as a study."""

import copy
from pathlib import Path

import pytest
import yaml
from snakemake.utils import update_config
from steerdose.errors import SteerdoseError
from steerdose.study.load import load_study

ROOT = Path(__file__).parents[1]
CONFIG = yaml.safe_load((ROOT / "config.yaml").read_text())


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


def overlaid(*files):
    """Return the shipped config with files laid over it, as snakemake does."""
    config = copy.deepcopy(CONFIG)
    for file in files:
        update_config(config, yaml.safe_load(Path(file).read_text()))
    return config


def study(**values):
    """Return the study of the shipped config with dotted keys set; the working directory is the project's."""
    return load_study(changed(**values))


def refused(config, files=()):
    """Return the lines of the message by which a config is refused, one a problem."""
    with pytest.raises(SteerdoseError) as caught:
        load_study(config, files)
    head, *lines = str(caught.value).splitlines()
    assert head == "the config is not valid:"
    return [line.removeprefix("  ") for line in lines]


def activation(estimator, **options):
    return {"kind": "activation", "estimator": estimator, "depths": [0.5], "options": options}


def imported(**changes):
    return {"kind": "import", "format": "peft", "positive": "data", "negative": None, **changes}


def parts(*names, **changes):
    return {"kind": "parts", "of": "lora", "by": "layer", "names": list(names), **changes}
