"""Time and peak memory of every job that needs no model, on a simulated study of thousands of long trajectories.

Run with `make scale`; a smaller run: python bench/scale.py --methods 2 --alphas 3 --prompts 4 --window 64.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Sequence
from itertools import pairwise, product
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT / "workflow_scripts"), str(ROOT / "tests")]

import numpy as np  # noqa: E402
import polars as pl  # noqa: E402
import psutil  # noqa: E402
import tiny  # noqa: E402
import torch  # noqa: E402
import yaml  # noqa: E402
from conftest import make_workspace  # noqa: E402
from steerdose.declarations.dose import CALIBRATION, SEARCH  # noqa: E402
from steerdose.declarations.dose import DOSES as DOSE_TABLE  # noqa: E402
from steerdose.declarations.index import TABLES  # noqa: E402
from steerdose.declarations.passed import AUDIT_FORKS, REFERENCE_TOKENS, SCORES  # noqa: E402
from steerdose.dose.kl_statistics import STATISTICS  # noqa: E402
from steerdose.engine.fork_grid import fork_times  # noqa: E402
from steerdose.files import write_json, write_table  # noqa: E402
from steerdose.outcomes.tasks.choice import METRICS  # noqa: E402
from steerdose.steering.edits import Add  # noqa: E402
from steerdose.steering.steering import Steering  # noqa: E402
from steerdose.study.texts import load_questions  # noqa: E402

MODEL = {"source": "tiny_model", "revision": None, "sha256": None, "dtype": "float32", "chat_template": None}
DOSES = [0, 1, -1, 2, 0.5, 4, 1.5, 3, 0.75, 1.25, 2.5, 0.25, 1.75, 3.5]
PROBE = "json_interrupt"
LETTERS = b"abcdefghijklmnopqrstuvwxyz    "


def simulate(tokens_of: np.ndarray, alphas: Sequence[float], prompts: Sequence[str], window: int, seed: int) -> dict:
    """Return the tables of one method. Strong doses die early, then loop; weak ones end their turn."""
    draw = np.random.default_rng(seed)
    alpha, prompt = (np.array(each) for each in zip(*product(map(float, alphas), prompts), strict=True))
    key = {"alpha": alpha, "coefficient": 40 * alpha, "prompt_id": prompt, "sample": np.zeros(len(alpha), np.int32)}
    n = len(alpha)
    death = draw.exponential(window / np.maximum(np.abs(alpha), 0.05) ** 4)
    end = draw.exponential(window * (1 + np.abs(alpha)))
    ended = end < window
    length = np.where(ended, end.astype(int) + 1, window).clip(1, window)
    row, t = np.repeat(np.arange(n), length), np.concatenate([np.arange(1, each + 1) for each in length])
    loops = t > death[row]
    token = tokens_of[draw.integers(len(tokens_of), size=len(t))]
    token[loops] = tokens_of[(t[loops] + row[loops]) % 11]
    kl = draw.lognormal(-1.5, 1, len(t)) * alpha[row] ** 2 * np.where(loops, 0.3, 1)
    nll = draw.exponential(np.where(loops, 0.1, 1.2))
    own = {"t": t, "token_id": token, "kl": kl, "nll": nll, "entropy": draw.exponential(1.2, len(t))}
    tokens = pl.DataFrame({**{name: value[row] for name, value in key.items()}, **own})
    starts = np.r_[0, length.cumsum()]
    decode = tiny.tokenizer().decode
    texts = [decode(token[start:stop].tolist()) for start, stop in pairwise(starts)]
    forks = np.array(fork_times(window, count=14))
    fork_row, fork_t = np.nonzero(forks <= length[:, None])
    dead = forks[fork_t] > death[fork_row]
    parts = [
        {
            **{name: value[fork_row] for name, value in key.items()},
            "t": forks[fork_t],
            "pmass": np.where(dead & (fork_row % 3 > 0 if reading == "unsteered" else True), 0.1, 0.9)
            + draw.uniform(0, 0.1, len(dead)),
            "p_first": draw.uniform(size=len(dead)),
            "probe": np.full(len(dead), PROBE),
            "reading": np.full(len(dead), reading),
            "argmax": np.full(len(dead), " true"),
            "is_answer": np.full(len(dead), True),
        }
        for reading in ("steered", "unsteered")
    ]
    types = {"t": pl.Int32, "token_id": pl.Int32, **dict.fromkeys(("kl", "nll", "entropy"), pl.Float32)}
    return {
        "tokens": tokens.cast(types),
        "trajectories": pl.DataFrame({**key, "n_tokens": length.astype(np.int32), "ended": ended, "text": texts}),
        "forks": pl.concat(map(pl.DataFrame, parts)).cast({"t": pl.Int32}),
    }  # fmt: skip


def write_study(root: Path, methods: Sequence[str], alphas: Sequence[float], n_prompts: int, window: int) -> int:
    """Write what the jobs with a model would have written; return the number of tokens."""
    cell, results = root / "results/sim/honesty/seed0", root / "results"
    prompts = [question.id for question in load_questions(root / "data/questions.jsonl")[:n_prompts]]
    tiny.tokenizer().save_pretrained(results / "models/sim")
    write_json({"trust_remote_code": False, "sha256": "0"}, results / "models/sim/source.json")
    letters = np.array(tiny.tokenizer().convert_tokens_to_ids([chr(c) if c != 32 else "Ġ" for c in LETTERS]))
    audit = {"median_pmass": 0.95, "n_forks": 14 * n_prompts, "n_questions": n_prompts}
    audit |= {"likely": [[" true", 1]], "splits": True}
    write_json({PROBE: audit}, results / "sim/probe/rolled_out.json")
    write_json({}, results / "sim/probe/others.json")
    write_table(reference(letters, prompts, window), results / "sim/reference/tokens.parquet", REFERENCE_TOKENS)
    health = {"median_rep_4": 0.1, "nll_plain": 3.0, "nll_chat": 3.0}
    write_json(health, results / "sim/probe/rolled_out.texts.json")
    total = 0
    for i, method in enumerate(methods):
        names = {"model": "sim", "behavior": "honesty", "seed": 0, "method": method}
        labels = [pl.lit(value).alias(name) for name, value in names.items()]
        frames = simulate(letters, alphas, prompts, window, seed=i)
        total += frames["tokens"].height
        if i == 0:
            audited = frames["forks"].filter(alpha=0, reading="steered").with_columns(model=pl.lit("sim"))
            write_table(audited, results / "sim/probe/rolled_out.forks.parquet", AUDIT_FORKS)
            write_table(audited.clear(), results / "sim/probe/others.forks.parquet", AUDIT_FORKS)
        for name, frame in frames.items():
            write_table(frame.with_columns(labels), cell / f"rollouts/{method}.{name}.parquet", TABLES[name])
        write_table(
            simulate_scores(alphas, i).with_columns(labels), cell / f"scores/{method}.knowledge.parquet", SCORES
        )
        module = {"module": "model.layers.1", "edit": "Add", "rank": None, "norm": 1.0, "n_parameters": 32}
        write_json({"method": method, "modules": [module]}, cell / f"steering/{method}.geometry.json")
        Steering(method, (("model.layers.1", Add(torch.ones(32) / 32**0.5)),), {}).save(
            cell / f"steering/{method}.safetensors"
        )
        sides, rows = {}, []
        for sign, factor in (("positive", 40.0), ("negative", -40.0)):
            found = {
                "c_star": factor,
                "c_star_low": factor,
                "c_star_high": factor,
                "statistic": 1.0,
                "relative_dose": 0.2,
            }
            sides[sign] = {**found, "target": 1.0, "converged": True, "reason": "simulated", "evaluations": 3,
                           "bracket": [0.9 * factor, factor], "audit": 1.1}  # fmt: skip
            for step, c in enumerate((0.5, 0.9, 1.0), start=1):
                for split in ("search", "calibration", "audit")[: 1 + 2 * (c == 1)]:
                    rows.append({"coefficient": c * factor, "sign": sign, "split": split, "step": step, "target": 1.0}
                                | dict.fromkeys(STATISTICS, c**2) | {"n_tokens": 640})  # fmt: skip
        write_table(pl.DataFrame(rows).with_columns(labels), cell / f"calibration/{method}.parquet", CALIBRATION)
        write_json({"statistic": "p95", "target": 1.0, **sides}, cell / f"calibration/{method}.json")
        write_json({method: sides}, cell / f"calibration/jobs/{method}.search.json")
        write_table(pl.DataFrame(rows).with_columns(labels), cell / f"calibration/jobs/{method}.search.parquet", SEARCH)
        dose = {"c_star": 40.0, "c_star_low": 38.0, "c_star_high": 42.0, "relative_dose": 0.2}
        write_table(
            pl.DataFrame([{"sign": sign, **dose} for sign in sides]).with_columns(labels),
            cell / f"calibration/jobs/{method}.doses.parquet",
            DOSE_TABLE,
        )
        places = {"generate_pairs": "", "capture_activations": ".residual"}
        for rule in (*places, "fit_repe", "calibrate_alpha"):
            path = results / f"benchmarks/{rule}/sim.honesty.seed0{places.get(rule, f'.{method}')}.tsv"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("s\n10\n")
    return total


def reference(tokens_of: np.ndarray, prompts: Sequence[str], window: int) -> pl.DataFrame:
    """Two unsteered texts of each prompt and decoding."""
    draw, frames = np.random.default_rng(99), []
    for decoding, nats in (("greedy", 0.3), ("sampled", 1.2)):
        for prompt in prompts:
            for sample in range(2):
                own = {"token_id": draw.choice(tokens_of, window), "nll": draw.exponential(nats, window)}
                place = {"decoding": decoding, "prompt_id": prompt, "sample": sample, "model": "sim"}
                frame = pl.DataFrame({"t": np.arange(1, window + 1), **own})
                frames.append(frame.with_columns(**{name: pl.lit(value) for name, value in place.items()}))
    return pl.concat(frames)


def simulate_scores(alphas: Sequence[float], seed: int) -> pl.DataFrame:
    """Every metric of 80 claims at every dose."""
    draw, rows = np.random.default_rng(seed), []
    for alpha in alphas:
        for metric, value in zip(METRICS, draw.random((len(METRICS), 80)), strict=True):
            names = [f"q-{i:02}" for i in range(80)]
            items = pl.DataFrame(
                {"item": names, "cluster": names, "form": "claim", "label": [1, -1] * 40, "value": value}
            )
            same = {"metric": metric, "alpha": float(alpha), "coefficient": 40.0 * alpha, "task": "knowledge"}
            rows.append(items.with_columns(**{name: pl.lit(value) for name, value in same.items()}))
    return pl.concat(rows)


def overlay(methods: Sequence[str], alphas: Sequence[float], n_prompts: int, window: int) -> dict[str, Any]:
    entry = {"kind": "activation", "estimator": "mean_diff", "depths": [0.6]}
    return {
        "study": {"models": ["sim"], "methods": list(methods), "tasks": ["knowledge"]},
        "models": {"sim": {**MODEL, "trust_remote_code": False}},
        "methods": dict.fromkeys(methods, entry),
        "rollout": {
            "alphas": list(alphas),
            "n_questions": n_prompts,
            "window": window,
            "forks": {"count": 14, "every": None},
            "probes": [PROBE],
        },
        "endpoints": {"text": {"repetition_tokens": 48, "nll_tokens": 24, "stretch": 16}, "kl": {"tokens": 48}},
    }


class Watch(threading.Thread):
    """Sample the scripts that run below this process: of each job seconds, those of a processor, peak resident MiB."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.seconds: dict[tuple[str, int], float] = {}
        self.processor: dict[tuple[str, int], float] = {}
        self.memory: dict[tuple[str, int], float] = defaultdict(float)
        self.stop = threading.Event()

    def run(self) -> None:
        while not self.stop.wait(0.1):
            for process in psutil.Process().children(recursive=True):
                try:
                    script = next((word for word in process.cmdline() if "/scripts/tmp" in word), None)
                    if script:
                        job = (script.rpartition("/")[2].split(".")[1], process.pid)
                        self.seconds[job] = time.time() - process.create_time()
                        self.processor[job] = sum(process.cpu_times()[:2])
                        self.memory[job] = max(self.memory[job], process.memory_info().rss / 2**20)
                except psutil.Error:
                    continue


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--methods", type=int, default=12)
    parser.add_argument("--alphas", type=int, default=12)
    parser.add_argument("--prompts", type=int, default=24)
    parser.add_argument("--window", type=int, default=4096)
    parser.add_argument("--cores", type=int, default=os.cpu_count())
    parser.add_argument("--folder", type=Path, help="keep the study there; an existing one is used again")
    parser.add_argument("targets", nargs="*", default=["all"])
    given = parser.parse_args()
    folder = given.folder or Path(tempfile.mkdtemp())
    methods, alphas = [f"m{i + 1:02}" for i in range(given.methods)], sorted(DOSES[: given.alphas])
    if not (folder / "Snakefile").exists():
        make_workspace(folder, "tiny.yaml")
        config = overlay(methods, alphas, given.prompts, given.window)
        (folder / "scale.yaml").write_text(yaml.safe_dump(config))
        total = write_study(folder, methods, alphas, given.prompts, given.window)
        print(f"{len(methods) * len(alphas) * given.prompts} trajectories, {total} tokens", flush=True)
        for path in sorted(folder.rglob("*"), reverse=True):  # all of one age, so that no rollout is due
            os.utime(path, (10**9, 10**9))
    watch = Watch()
    watch.start()
    start = time.time()
    command = ["snakemake", "--configfile", "scale.yaml", "--cores", str(given.cores), "--rerun-triggers", "mtime",
               "--keep-going", "--quiet", "all", "--", *given.targets]  # fmt: skip
    environment = {**os.environ, "PYTHONPATH": ""}
    done = subprocess.run([sys.executable, "-m", *command], cwd=folder, env=environment, check=False)
    wall = time.time() - start
    watch.stop.set()
    watch.join()
    rows = [(rule, seconds, watch.processor[rule, process], watch.memory[rule, process])
            for (rule, process), seconds in watch.seconds.items()]  # fmt: skip
    jobs = pl.DataFrame(rows, schema=["rule", "seconds", "processor", "peak"], orient="row")
    by_rule = jobs.group_by("rule").agg(pl.len(), pl.sum("seconds", "processor"), pl.max("peak"))
    print(f"{'rule':<32}{'jobs':>5}{'seconds':>10}{'CPU':>10}{'peak MiB':>10}")
    for rule, count, seconds, processor, peak in by_rule.sort("processor", descending=True).iter_rows():
        print(f"{rule:<32}{count:>5}{seconds:>10.1f}{processor:>10.1f}{peak:>10.0f}")
    print(f"{'sum':<37}{jobs['seconds'].sum():>10.1f}{jobs['processor'].sum():>10.1f}{jobs['peak'].max():>10.0f}")
    print(f"{f'all, on {given.cores} cores, with snakemake':<37}{wall:>10.1f}   exit status {done.returncode}")


if __name__ == "__main__":
    main()
