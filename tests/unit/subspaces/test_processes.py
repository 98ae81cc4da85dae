"""The sweep's files hang on nothing that differs from process to process: published ones were seeded by `hash`."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import subspace_jobs
from steerdose.errors import SteerdoseError
from steerdose.steering.steering import Steering

TESTS = Path(__file__).parents[2]


def swept(folder, hashseed):
    folder.mkdir()
    given = {**os.environ, "PYTHONHASHSEED": hashseed, "OMP_NUM_THREADS": "1"}
    given["PYTHONPATH"] = os.pathsep.join((str(TESTS), str(TESTS.parent / "workflow_scripts")))
    subprocess.run([sys.executable, str(TESTS / "subspace_jobs.py"), str(folder)], env=given, check=True)
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def test_a_delta_beside_the_blocks_with_bases_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(Steering, "n_loaded", 0)
    with pytest.raises(SteerdoseError, match=r"'lora' edits blocks \[1\] without bases; widen subspaces.layer_range"):
        subspace_jobs.run(tmp_path, (0.6, 1.0))


def test_two_processes_with_other_hashes_write_the_same_bytes(tmp_path):
    one, other = (swept(tmp_path / seed, seed) for seed in ("1", "2"))
    assert {"scores", "summary", "recovered", "subspaces.csv", "subspaces.html"} <= set(one)
    assert [name for name in one if one[name] != other[name]] == []
