"""The image, built by buildah, and a small study on the real model in it: `make test-image`."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from conftest import ROOT, make_workspace

if os.geteuid() or not shutil.which("buildah") or not shutil.which("debootstrap"):
    pytest.skip("needs root and Debian's packages buildah and debootstrap", allow_module_level=True)

PYTHON = "docker.io/library/python:3.11-slim-bookworm"
BASE, IMAGE = "localhost/steerdose-test-base", "localhost/steerdose-test"
DEBIAN = ["--variant=minbase", "--include=python3,python3-venv,git,make,ca-certificates", "bookworm"]
# Packages are reached from the image as they are from this machine.
SETTINGS = ["/etc/ssl/certs", "/etc/apt", "/etc/pip.conf", *os.environ.get("PIP_FIND_LINKS", "").split()]
REACH = ["--network=host", *(f"--volume={path}:{path}:ro" for path in SETTINGS if Path(path).exists())]
REACH += [f"--env={name}={value}" for name, value in os.environ.items() if name.startswith("PIP_")]
SURVIVAL = "results/smollm2/honesty/seed0/survival"


def buildah(*arguments: str | Path) -> str:
    environment = {**os.environ, "BUILDAH_ISOLATION": "chroot"}  # which needs no other runtime of containers
    done = subprocess.run(["buildah", *arguments], env=environment, capture_output=True, text=True, check=False)
    assert not done.returncode, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout.strip()


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """Python's own image or, where it cannot be had, Debian's packages."""
    if not subprocess.run(["buildah", "pull", "--quiet", PYTHON], capture_output=True, check=False).returncode:
        yield PYTHON
        return
    root = tmp_path_factory.mktemp("base") / "root"
    subprocess.run(["debootstrap", *DEBIAN, root], stdout=subprocess.DEVNULL, check=True)
    container = buildah("from", "scratch")
    buildah("add", container, root, "/")
    buildah("commit", "--rm", container, BASE)
    shutil.rmtree(root)
    yield BASE
    buildah("rmi", "--force", BASE)


@pytest.fixture(scope="module")
def image(base):
    buildah("build", "--pull-never", f"--from={base}", *REACH, f"--tag={IMAGE}", ROOT)
    yield IMAGE
    buildah("rmi", "--force", IMAGE)


def run(image, results, *command):
    """Run a command in a container of its own that sees a folder of results, as `docker run --rm -v` does."""
    container = buildah("from", image)
    try:
        return buildah("run", *REACH, f"--volume={results}:/steerdose/results", container, "--", *command)
    finally:
        buildah("rm", container)


def test_make_survival_runs_in_the_image_and_its_numbers_are_those_of_this_machine(image, tmp_path):
    results, command = tmp_path / "results", ("make", "survival", "OVERLAY=--configfile tests/config/small.yaml")
    results.mkdir()
    run(image, results, *command)
    assert (results / "figs/survival.png").stat().st_size
    here = make_workspace(tmp_path / "here", "small.yaml")
    here.snakemake("results/figs/survival.png")
    made = sorted(path.name for path in (here.root / SURVIVAL).glob("*.parquet"))
    assert made
    for name in made:
        assert (tmp_path / SURVIVAL / name).read_bytes() == (here.root / SURVIVAL / name).read_bytes(), name
    before = (results / "figs/survival.png").stat().st_mtime_ns
    run(image, results, *command)  # another container goes on from what the first one left
    assert (results / "figs/survival.png").stat().st_mtime_ns == before
