"""Newer pins: `make pins` lets pip resolve afresh what the project uses, and writes requirements.txt and envs/*.yaml.

What the first part of requirements.txt names is taken without its version, but for torch, whose CPU build is a choice;
the second part is what these need. Nothing is installed. Run `make test` behind it, and read what changed.
"""

import json
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
FIXED = ("torch",)  # keeps its version
PIN = re.compile(r"([A-Za-z0-9_.-]+)==(\S+)")


def names_of(requirements: str) -> list[str]:
    """Return what the first part of a requirements file names, in its order."""
    return [match[1] for line in requirements.split("\n\n")[0].splitlines() if (match := PIN.fullmatch(line))]


def plain(name: str) -> str:
    """Return a package's name as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def resolved(asked: list[str]) -> dict[str, str]:
    """Return the version of each package that pip would install, by its name in small letters."""
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--dry-run", "--ignore-installed", "--report", "-"]
    done = subprocess.run([*command, *asked], stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        sys.exit(
            "make pins: pip found no versions that go together, or no index; its words stand above, nothing changed"
        )
    metadata = [each["metadata"] for each in json.loads(done.stdout)["install"]]
    return {plain(each["name"]): each["version"].partition("+")[0] for each in metadata}  # +cpu is a build


def renewed(requirements: str, versions: dict[str, str]) -> str:
    """Return a requirements file with these versions: what it names first, and then all else that is there."""
    head, own = requirements.splitlines()[0], names_of(requirements)
    first = [f"{name}=={versions[plain(name)]}" for name in own]
    rest = sorted({*versions} - {plain(name) for name in own})
    return "\n".join([head, *first, "", *[f"{name}=={versions[name]}" for name in rest]]) + "\n"


def with_versions(text: str, versions: dict[str, str]) -> str:
    """Return a text whose pins have these versions, where there is one."""
    return PIN.sub(lambda pin: f"{pin[1]}=={versions.get(plain(pin[1]), pin[2])}", text)


def main() -> None:
    """Renew the files, and print what of the first part is another version now."""
    file = ROOT / "requirements.txt"
    old = file.read_text(encoding="utf-8")
    kept = dict(PIN.findall(old))
    asked = [f"{name}=={kept[name]}" if name in FIXED else name for name in names_of(old)]
    versions = resolved(asked)
    file.write_text(renewed(old, versions), encoding="utf-8")
    for environment in (ROOT / "envs").glob("*.yaml"):
        text = environment.read_text(encoding="utf-8")
        environment.write_text(with_versions(text, versions), encoding="utf-8")
    for name in names_of(old):
        if kept[name] != versions[plain(name)]:
            print(f"{name}: {kept[name]} is now {versions[plain(name)]}")
    print("run `make test`, and read the difference before you commit it")


if __name__ == "__main__":
    main()
