"""Known vulnerabilities of the pins: `make lint` lets pip-audit look all of them up.

What is known makes it fail, unless it stands in `HARMLESS`. What could not be looked up is said, and does not: the
linters run without a network too, and behind an index that has no advisories.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
HARMLESS: dict[str, str] = {}  # by advisory: why it does no harm here


def looked_up(files: list[Path]) -> list[dict[str, Any]] | None:
    """Return what pip-audit says of each pin, in the form of its JSON; None where it reached no service."""
    flags = ["--no-deps", "--disable-pip", "--progress-spinner=off", "--format=json"]
    command = [sys.executable, "-m", "pip_audit", *flags, *(f"--requirement={file}" for file in files)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.stdout:
        return list(json.loads(done.stdout)["dependencies"])
    if "requests.exceptions" in done.stderr or "ConnectionError" in done.stderr:
        return None
    sys.exit(f"pip-audit failed:\n{done.stderr}")


def known(found: list[dict[str, Any]]) -> list[str]:
    """Return a line for each vulnerability that is not harmless."""
    return [
        f"{pin['name']} {pin['version']}: {each['id']}, mended in {', '.join(each['fix_versions']) or 'no version'}"
        for pin in found
        for each in pin.get("vulns", [])
        if not {each["id"], *each.get("aliases", [])} & {*HARMLESS}
    ]


def main() -> None:
    """Print what is known, and what could not be looked up; exit with 1 where anything is known."""
    found = looked_up(sorted(ROOT.glob("requirements*.txt")))
    if found is None:
        print("vulnerabilities: no service could be reached, so no pin was looked up")
        return
    missing = [pin["name"] for pin in found if "skip_reason" in pin]
    lines = known(found)
    print(f"vulnerabilities: {len(found) - len(missing)} of {len(found)} pins looked up, {len(lines)} known")
    if lines:
        print(*lines, sep="\n")
        sys.exit(
            "take newer versions with `make pins`, or say in HARMLESS of envs/vulnerabilities.py what does no harm"
        )


if __name__ == "__main__":
    main()
