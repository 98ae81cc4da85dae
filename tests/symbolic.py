"""A workflow whose jobs write what they were made of, in place of computing it: whole studies in seconds.

Every rule keeps its inputs, outputs, wildcards and params. Each of its outputs holds the rule's name, the params, and a
digest of all that was read, so that a file differs from another run's exactly where something behind it differs.
"""

import hashlib
import re
import shutil
from pathlib import Path

SCRIPT = re.compile(r'^( *)script:\n +"\.\./workflow_scripts/(\w+)\.py"$', re.MULTILINE)
RULE = re.compile(r"^ *rule \w+:\n.*?(?=^ *rule \w+:|\Z)", re.MULTILINE | re.DOTALL)
FOLDER = re.compile(r"(\w+)=directory\(")
# Benchmarks hold times, which are no result. A file break/{rule} is run behind the writing, to fail or wait there.
WRITE = r"""
set -eu
rule=$1 params=() inputs=() outputs=() folders=() kind=
shift
for word; do
    case $word in
        --params | --inputs | --outputs | --folders) kind=${word#--} ;;
        *) declare -n list=$kind; list+=("$word") ;;
    esac
done
read_files() {
    find "${inputs[@]}" -type f ! -name '.snakemake*' ! -path 'results/benchmarks/*' -print0 |
        LC_ALL=C sort -z | xargs -0 --no-run-if-empty sha256sum
}
text="rule $rule"$'\n'"$(printf 'param %s\n' "${params[@]}")"$'\n'"$(((${#inputs[@]})) && read_files || true)"
for output in "${outputs[@]}"; do
    for folder in ${folders[@]+"${folders[@]}"}; do
        [[ $output != "$folder" ]] || { mkdir -p "$output"; output+=/content; }
    done
    printf '%s\n%s\n' "$output" "$text" > "$output"
done
[[ ! -e break/$rule ]] || . "break/$rule"
"""


def make_symbolic(root: Path) -> None:
    """Turn a workspace's rules into symbolic ones, and leave nothing of an earlier run."""
    for path in sorted((root / "rules").glob("*.smk")):
        path.write_text(RULE.sub(_symbolic, path.read_text()))
    (root / "write.sh").write_text(WRITE)
    (root / "break").mkdir()
    shutil.rmtree(root / "results", ignore_errors=True)


def _symbolic(rule: re.Match[str]) -> str:
    folders = " ".join(f"{{output.{name}:q}}" for name in FOLDER.findall(rule[0]))
    words = f"--params {{params:q}} --inputs {{input:q}} --folders {folders} --outputs {{output:q}}"
    text, n = SCRIPT.subn(rf"\1shell:\n\1    '. ./write.sh {{rule}} {words}'", rule[0])
    assert n == 1, rule[0]
    return text


def results(root: Path) -> dict[str, str]:
    """Return what every result of a symbolic run was made of, by path."""
    paths = (path for path in sorted((root / "results").rglob("*")) if path.is_file())
    skipped = ("benchmarks", "logs")
    return {
        str(path.relative_to(root)): path.read_text()
        for path in paths
        if path.relative_to(root).parts[1] not in skipped and not path.name.startswith(".snakemake")
    }


def outdated(root: Path, *targets: str) -> set[str]:
    """Return which targets of a symbolic run, or files behind them, were made of other files than lie there now."""
    found, seen, waiting = set(), set(), [*targets]
    while waiting:
        path = waiting.pop()
        seen.add(path)
        for digest, name in re.findall(r"^([0-9a-f]{64})  (.+)$", (root / path).read_text(), re.MULTILINE):
            if hashlib.sha256((root / name).read_bytes()).hexdigest() != digest:
                found.add(path)
            if name.startswith("results/") and name not in seen:
                waiting.append(name)
    return found
