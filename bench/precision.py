"""What rounding costs: the default study's methods in half precision and in 8 and 4 bits, against float32.

parts at: the token at which a greedy text leaves that of float32, the median over texts (inf: most do not). KL: the p95
of all tokens, against that of float32. first: by how much the KL of the first token is off, the median; it is the one
that rests on the same text. c_star: where the KL of calibration prompts meets its target, against float32's, on a line
through what 0.8, 1 and 1.25 of the study's give.

Run after `make survival`: python bench/precision.py
"""

import argparse
import math
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT / "workflow_scripts")]

import numpy as np  # noqa: E402
import yaml  # noqa: E402
from steerdose.dose.meter import measured_kl  # noqa: E402
from steerdose.engine.generate import generate  # noqa: E402
from steerdose.engine.requests import Request, Trajectory, ask  # noqa: E402
from steerdose.errors import SteerdoseError  # noqa: E402
from steerdose.files import read_json  # noqa: E402
from steerdose.model.loading import LoadedModel, load_model  # noqa: E402
from steerdose.steering.intervention import Intervention  # noqa: E402
from steerdose.steering.steering import Steering  # noqa: E402
from steerdose.study.load import load_study  # noqa: E402
from steerdose.study.settings import Run  # noqa: E402
from steerdose.study.texts import load_prompts, load_questions, take  # noqa: E402

RUNS = {
    "float32": Run(),
    "bfloat16": Run(dtype="bfloat16"),
    "8bit": Run(quantization="8bit"),
    "4bit": Run(quantization="4bit"),
}
ALPHAS, AROUND = (0.5, 1.0, 1.75), (0.8, 1.0, 1.25)


def parted(texts: Sequence[Trajectory], others: Sequence[Trajectory]) -> float:
    """Return the median token at which two runs part; infinity where half of the texts do not."""
    places = []
    for one, other in zip(texts, others, strict=True):
        pairs = enumerate(zip(one.token_ids, other.token_ids, strict=False), start=1)
        places.append(next((t for t, (a, b) in pairs if a != b), math.inf))
    return median(places)


def p95(texts: Sequence[Trajectory]) -> float:
    """Return the 95th percentile of the KL of all tokens, nats."""
    return float(np.quantile([kl for text in texts for kl in text.kl], 0.95))


def met_at(doses: Sequence[float], values: Sequence[float], target: float) -> float:
    """Return where a curve of KL meets a target, by a straight line through the logarithms of its points."""
    slope, offset = np.polyfit(np.log(doses), np.log(values), 1)
    return float(np.exp((math.log(target) - offset) / slope))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", type=Path, default=ROOT / "results")
    parser.add_argument("--questions", type=int, default=8)
    parser.add_argument("--prompts", type=int, default=10)
    parser.add_argument("--window", type=int, default=48)
    parser.add_argument("--only", choices=RUNS, action="append", default=[], help="beside float32; by default all")
    given = parser.parse_args()
    study = load_study(yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8")))
    cell, measure = given.results / "smollm2/honesty/seed0", study.calibration
    questions = load_questions(ROOT / study.data.questions)[: given.questions]
    prompts = take(load_prompts(ROOT / study.data.prompts), "calibration", given.prompts)
    methods = study.study.methods
    steerings = {name: Steering.load(cell / f"steering/{name}.safetensors") for name in methods}
    c_stars = {name: read_json(cell / f"calibration/jobs/{name}.search.json")[name]["positive"] for name in methods}

    def texts(loaded: LoadedModel, name: str) -> list[Trajectory]:
        doses = [Intervention(steerings[name], alpha * c_stars[name]["c_star"], alpha=alpha) for alpha in ALPHAS]
        wanted: list[Request] = [ask(loaded.tokenizer, q.id, q.question, dose) for q in questions for dose in doses]
        return generate(loaded, wanted, window=given.window, batch_size=len(wanted))

    def c_star(loaded: LoadedModel, name: str) -> float:
        doses = [each * c_stars[name]["c_star"] for each in AROUND]
        kl = [measured_kl(loaded, prompts, Intervention(steerings[name], dose), measure, "KL") for dose in doses]
        values = [float(np.quantile([each for text in found for each in text], 0.95)) for found in kl]
        return met_at(doses, values, c_stars[name]["target"])

    print(f"{'':<22}tokens/s  parts at   KL at alpha {', '.join(map(str, ALPHAS))}    first   c_star")
    whole: dict[str, tuple[list[Trajectory], float]] = {}
    for run in ["float32", *(given.only or list(RUNS)[1:])]:
        try:
            loaded = load_model(given.results / "models/smollm2", RUNS[run])
        except SteerdoseError as error:
            print(f"{run}: {error}")
            continue
        for name in methods:
            start = time.perf_counter()
            found = texts(loaded, name)
            speed = sum(len(text.token_ids) for text in found) / (time.perf_counter() - start)
            dose = c_star(loaded, name)
            exact, exact_dose = whole.setdefault(name, (found, dose))
            n = len(ALPHAS)
            ratios = "  ".join(f"{p95(found[i::n]) / p95(exact[i::n]):6.3f}" for i in range(n))
            first = median(abs(a.kl[0] / b.kl[0] - 1) for a, b in zip(found, exact, strict=True) if a.kl and b.kl)
            print(f"{run:<10}{name:<12}{speed:>8.1f}{parted(found, exact):>10.0f}   {ratios}{first:>13.1%}"
                  f"{dose / exact_dose:>9.3f}", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
