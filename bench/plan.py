"""How long `snakemake -n` takes for each study in studies/ and the default one, beside an import of snakemake alone.

Run with `make bench`, or python bench/plan.py. Seconds are those of a processor, however busy the machine is.
"""

import os
import re
import resource
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
LOGGER = {**os.environ, "PYTHONPATH": str(ROOT / "workflow_scripts")}


def seconds(*command: str) -> tuple[float, str]:
    """Return the seconds of a command, and what it printed."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    done = subprocess.run([sys.executable, *command], cwd=ROOT, env=LOGGER, capture_output=True, text=True, check=True)
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before, done.stdout + done.stderr


def main() -> None:
    alone, _ = seconds("-c", "import snakemake.cli")
    print(f"{'':<20}  jobs  seconds  x import of snakemake")
    for overlay in (None, *sorted((ROOT / "studies").glob("*.yaml"))):
        given = ["--configfile", str(overlay)] if overlay else []
        took, said = seconds("-m", "snakemake", "--logger", "steerdose", "-n", *given, "--cores", "2", "--", "all")
        jobs = re.search(r"^all +(\d+)", said, re.MULTILINE)
        name = overlay.stem if overlay else "default"
        print(f"{name:<20}{jobs[1] if jobs else 0:>6}{took:>9.1f}{took / alone:>8.1f}", flush=True)


if __name__ == "__main__":
    main()
