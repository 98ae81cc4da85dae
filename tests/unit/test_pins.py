"""The conda environments and requirements.txt hold the same pins, and are renewed together."""

import runpy
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parent.parent.parent


@pytest.mark.parametrize(("name", "torch_from_pip"), [("cpu", False), ("cuda", True)])
def test_environments_have_the_pins_of_requirements_txt(name, torch_from_pip):
    pins = {line for line in (ROOT / "requirements.txt").read_text().splitlines() if "==" in line}
    environment = yaml.safe_load((ROOT / f"envs/{name}.yaml").read_text())
    from_pip = next(entry["pip"] for entry in environment["dependencies"] if isinstance(entry, dict))
    assert set(from_pip) <= pins
    assert any(pin.startswith("torch==") for pin in from_pip) == torch_from_pip


@pytest.mark.parametrize(
    "name", ["requirements.txt", "requirements-lm-eval.txt", "requirements-quantized.txt", "requirements-slurm.txt"]
)
def test_every_requirement_is_pinned_exactly(name):
    lines = [line for line in (ROOT / name).read_text().splitlines() if line and not line.startswith("#")]
    assert all("==" in line for line in lines)


def test_renewed_pins_keep_the_order_of_what_is_used_and_sort_the_rest():
    pins = runpy.run_path(str(ROOT / "envs/pins.py"))
    old = "# Exact pins.\ntorch==1.0\nPyYAML==5.0\n\nold_need==0.1\n"
    assert pins["names_of"](old) == ["torch", "PyYAML"]
    versions = {"torch": "1.0", "pyyaml": "6.0", "new-need": "2.0", "another": "1.1"}
    assert pins["renewed"](old, versions) == "# Exact pins.\ntorch==1.0\nPyYAML==6.0\n\nanother==1.1\nnew-need==2.0\n"
    environment = "  - pytorch-cpu=2.13.0\n      - PyYAML==5.0\n      - unknown==3\n"
    assert pins["with_versions"](environment, versions) == environment.replace("5.0", "6.0")
