"""Which probe should a study roll out? All configured ones, audited on questions that the study does not use.

Run `snakemake --cores 1 -- results/models/smollm2`, then `python bench/probes.py`; a table goes to standard output.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT / "workflow_scripts")]

import polars as pl  # noqa: E402
import yaml  # noqa: E402
from steerdose.columns import Cell  # noqa: E402
from steerdose.files import read_json  # noqa: E402
from steerdose.outcomes.audit import audit_probe  # noqa: E402
from steerdose.study.load import load_study  # noqa: E402
from steerdose.study.plan import Plan  # noqa: E402
from steerdose.study.settings import AuditProbe  # noqa: E402
from steerdose.study.slices import Slices  # noqa: E402

SHOWN = (
    "median_pmass", "argmax_share", "continues", "accuracy", "accuracy_low", "accuracy_high", "lean", "auc", "auc_low",
    "auc_high",
)  # fmt: skip


class Wildcards(dict):  # type: ignore[type-arg]
    """Of the job whose slice is taken."""

    __getattr__ = dict.__getitem__


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--questions", type=int, default=40, help="how many, behind those that the study uses")
    given = parser.parse_args()
    study = load_study(yaml.safe_load((ROOT / "config.yaml").read_text("utf-8")), ["config.yaml"])
    model = study.study.models[0]
    text = Slices(study, Plan(study)).audit_probe(Wildcards(model=model, probes="rolled_out"))
    settings = AuditProbe.parse(text)
    first = study.rollout.n_questions
    lines = (ROOT / study.data.questions).read_text("utf-8").splitlines()
    chosen = [*lines[first : first + given.questions], *lines[:first]]  # recall draws its topics from the whole file
    options = settings.trajectories.model_copy(update={"n_questions": min(given.questions, len(lines) - first)})
    with tempfile.TemporaryDirectory() as folder:
        questions = Path(folder) / "questions.jsonl"
        questions.write_text("\n".join(chosen) + "\n", encoding="utf-8")
        files = {name: str(Path(folder) / name) for name in ("summary", "forks", "texts")}
        audit_probe(
            model=str(ROOT / f"results/models/{model}"),
            questions=str(questions),
            cell=Cell(model),
            settings=settings.model_copy(update={"trajectories": options, "probes": study.probes}),
            **files,
        )
        found = read_json(files["summary"])
    rows = [{"probe": name, **{column: row[column] for column in SHOWN}} for name, row in found.items()]
    print(json.dumps({"questions": options.n_questions, "from": first + 1}))
    with pl.Config(tbl_cols=-1, tbl_rows=-1, tbl_width_chars=200, float_precision=2):
        print(pl.DataFrame(rows))


if __name__ == "__main__":
    main()
