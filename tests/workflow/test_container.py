"""The image, read; `make test-image` builds it."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_image_has_a_python_that_the_project_takes():
    found = re.search(r"^FROM python:3\.(\d+)-", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"]
    assert wanted == ">=3.11"
    assert int(found[1]) >= 11


def test_what_is_copied_first_is_all_that_the_environment_needs():
    (copied,) = re.findall(r"^COPY (.*) \./$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    rule = re.search(r"^\.venv/stamp: (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert set(copied.split()) == {"Makefile", *rule[1].split()}
