"""The image: built from the pins where docker or buildah is there, and else read."""

import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BUILDERS = {"docker": ["docker", "build", "."], "buildah": ["buildah", "build", "."]}


def test_the_image_has_a_python_that_the_project_takes():
    found = re.search(r"^FROM python:3\.(\d+)-", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"]
    assert wanted == ">=3.11"
    assert int(found[1]) >= 11


def test_what_is_copied_first_is_all_that_the_environment_needs():
    (copied,) = re.findall(r"^COPY (.*) \./$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    rule = re.search(r"^\.venv/stamp: (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert set(copied.split()) == {"Makefile", *rule[1].split()}


@pytest.mark.slow
def test_the_image_builds():
    there = [name for name in BUILDERS if shutil.which(name)]
    works = [name for name in there if subprocess.run([name, "info"], capture_output=True, check=False).returncode == 0]
    if not works:
        pytest.skip("neither docker nor buildah works here")
    builder = works[0]
    subprocess.run(BUILDERS[builder], cwd=ROOT, check=True)
