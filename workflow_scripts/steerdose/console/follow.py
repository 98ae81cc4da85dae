"""Run snakemake with steerdose's own logger, from Python."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from steerdose.errors import SteerdoseError

SCRIPTS = Path(__file__).parents[2]  # where snakemake finds the logger


def follow(arguments: Sequence[str]) -> None:
    """Run snakemake in this folder and show how far it is. Raises SteerdoseError where it fails."""
    path = os.pathsep.join(filter(None, (str(SCRIPTS), os.environ.get("PYTHONPATH"))))
    command = [sys.executable, "-m", "snakemake", "--logger", "steerdose", *arguments]
    if subprocess.run(command, env={**os.environ, "PYTHONPATH": path}, check=False).returncode:
        raise SteerdoseError("the workflow stopped; what it said stands above, and all of it in .snakemake/log")
