"""The conda environments and requirements.txt hold the same pins."""

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


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-lm-eval.txt", "requirements-slurm.txt"])
def test_every_requirement_is_pinned_exactly(name):
    lines = [line for line in (ROOT / name).read_text().splitlines() if line and not line.startswith("#")]
    assert all("==" in line for line in lines)
