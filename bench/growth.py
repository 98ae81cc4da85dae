"""How the rollout engine grows with tokens, forks, doses, prompts and model, and what it leaves of the machine.

Every line is a process of its own, on a random model of a real one's shapes, whose blocks from the middle on are
steered. GFLOP/s: of the matrix products that a rollout cannot do without, these are those of prompts, of steered rows,
of their twins above the first edit, of both heads and of attention. limit: their share of what a large matrix product
reaches in the same process, before and after. apart: milliseconds a token without the time in which the machine at best
reads the keys and values that attention asks for. GiB: the most memory of the process, beside what `study.memory`
expects.

Run with `make bench`, or one study of it: python bench/growth.py --only window. With --out it is a table and a picture.
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT / "workflow_scripts")]

import matplotlib.pyplot as plt  # noqa: E402
import polars as pl  # noqa: E402
import torch  # noqa: E402
from steerdose.engine.fork_grid import fork_times  # noqa: E402
from steerdose.engine.generate import generate, request_bytes  # noqa: E402
from steerdose.engine.probe import ForkPlan, Probe  # noqa: E402
from steerdose.engine.requests import Request  # noqa: E402
from steerdose.model.architecture import find_blocks  # noqa: E402
from steerdose.model.loading import LoadedModel, speed_up  # noqa: E402
from steerdose.model.sizes import sizes_of  # noqa: E402
from steerdose.steering.edits import Add  # noqa: E402
from steerdose.steering.intervention import Intervention  # noqa: E402
from steerdose.steering.steering import Steering  # noqa: E402
from steerdose.study.estimate import IMPORTS  # noqa: E402
from steerdose.study.memory import FLOAT, GIB  # noqa: E402
from transformers import AutoModelForCausalLM, LlamaConfig  # noqa: E402

SHAPES = {  # hidden, MLP, blocks, heads, key-value heads, vocabulary
    "SmolLM2-135M": (576, 1536, 30, 9, 3, 49152),
    "SmolLM2-360M": (960, 2560, 32, 15, 5, 49152),
    "Qwen2.5-0.5B": (896, 4864, 24, 14, 2, 151936),
    "TinyLlama-1.1B": (2048, 5632, 22, 32, 4, 32000),
    "Qwen2.5-1.5B": (1536, 8960, 28, 12, 2, 151936),
}
PROMPT, SUFFIX, DEPTH = 32, 23, 0.6
NEVER = frozenset([10**9])


@dataclass(frozen=True)
class Case:
    """What is rolled out, all rows in one batch."""

    model: str = "SmolLM2-135M"
    prompts: int = 8
    doses: int = 8
    window: int = 64
    forks: int = 0


STUDIES = {
    "window": [Case(prompts=1, doses=4, window=window) for window in (128, 256, 512, 1024, 2048, 4096)],
    "forks": [Case(prompts=4, window=128, forks=forks) for forks in (0, 2, 7, 14, 28)],
    "doses": [Case(doses=doses, forks=4) for doses in (1, 2, 4, 8, 16, 32)],
    "prompts": [Case(prompts=prompts, forks=4) for prompts in (1, 2, 4, 16, 32)],
    "model": [Case(model=name, window=16) for name in SHAPES],
}


def build(name: str) -> LoadedModel:
    hidden, mlp, blocks, heads, kv_heads, vocabulary = SHAPES[name]
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=vocabulary, hidden_size=hidden, intermediate_size=mlp, num_hidden_layers=blocks,
        num_attention_heads=heads, num_key_value_heads=kv_heads, tie_word_embeddings=True, max_position_embeddings=8192,
    )  # fmt: skip
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()
    speed_up(model)
    return LoadedModel(model, None, "0")


def flop(case: Case, n_shared: int) -> float:
    """Return the floating-point operations of the matrix products of a case, two for a multiply-add."""
    hidden, mlp, blocks, heads, kv_heads, vocabulary = SHAPES[case.model]
    block = hidden * hidden * 2 + 2 * hidden * hidden * kv_heads / heads + 3 * hidden * mlp
    above = blocks - n_shared
    rows, lengths = case.prompts * case.doses, range(PROMPT, PROMPT + case.window)
    tokens, twice = rows * case.window, blocks + above  # rows of blocks, with twins
    prompts = PROMPT * (case.prompts * blocks + rows * above) * block
    attention = rows * twice * sum(2 * hidden * length for length in lengths)
    decoded = tokens * (twice * block + 2 * hidden * vocabulary) + attention
    read = case.forks * rows * SUFFIX * twice * block + 2 * case.forks * rows * hidden * vocabulary
    return 2 * (prompts + decoded + read)


def cache_bytes(case: Case, n_shared: int) -> float:
    """Return the bytes of keys and values that decoding reads."""
    hidden, _, blocks, heads, kv_heads, _ = SHAPES[case.model]
    lengths = range(PROMPT, PROMPT + case.window)
    return case.prompts * case.doses * (2 * blocks - n_shared) * sum(lengths) * 2 * hidden * kv_heads / heads * FLOAT


def measure(case: Case) -> dict[str, Any]:
    loaded = build(case.model)
    paths, hidden = find_blocks(loaded.model), loaded.model.config.hidden_size
    n_shared = round(DEPTH * len(paths))
    steering = Steering("none", ((paths[n_shared], Add(torch.full((hidden,), 1e-3))),), {})
    generator = torch.Generator().manual_seed(1)
    ids = torch.randint(loaded.model.config.vocab_size, (case.prompts, PROMPT), generator=generator).tolist()
    given = [Intervention(steering, float(dose + 1)) for dose in range(case.doses)]
    wanted = [Request(f"p{i}", tuple(each), dose) for i, each in enumerate(ids) for dose in given]
    probe = Probe(tuple(range(100, 100 + SUFFIX)), (200,), (201,))
    plan = ForkPlan({"one": probe}, fork_times(case.window, count=case.forks) if case.forks > 1 else [])
    rows = len(wanted)
    generate(loaded, wanted[:2], window=2, batch_size=2, end_ids=NEVER)  # the first forward allocates
    before = limits()
    seconds = _seconds(partial(generate, loaded, wanted, window=case.window, batch_size=rows, end_ids=NEVER, plan=plan))
    most, bandwidth = ((a + b) / 2 for a, b in zip(before, limits(), strict=True))
    expected = sizes_of(loaded.model).weights + rows * request_bytes(loaded.model, wanted, case.window, n_shared)
    return {
        "seconds": seconds,
        "flop_per_s": flop(case, n_shared) / seconds,
        "most": most,
        "cache_seconds": cache_bytes(case, n_shared) / bandwidth,
        "gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / GIB,
        "expected_gib": IMPORTS + expected / GIB,
    }


def limits() -> tuple[float, float]:
    """Return floating-point operations a second of a large fp32 matrix product, and bytes a second that are read."""
    layer = torch.nn.Linear(2048, 2048, bias=False)
    speed_up(torch.nn.ModuleList([layer]))
    x, read = torch.rand(2048, 2048), torch.rand(2**26)
    with torch.inference_mode():
        product, sums = (min(_seconds(work) for _ in range(5)) for work in (lambda: layer(x), read.sum))
    return 2 * 2048**3 / product, read.numel() * FLOAT / sums


def _seconds(work: Callable[[], Any]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def run(case: Case) -> dict[str, Any]:
    command = [sys.executable, __file__, "--one", json.dumps(asdict(case))]
    return dict(json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()[-1]))


def line(study: str, case: Case) -> dict[str, Any]:
    """Return a row of the table."""
    found, tokens = run(case), case.prompts * case.doses * case.window
    seconds = found["seconds"]
    return {
        "study": study, "value": str(getattr(case, study)), "rows": case.prompts * case.doses, "tokens": tokens,
        "seconds": seconds, "tokens_per_s": tokens / seconds, "ms": 1000 * seconds / tokens,
        "ms_apart": 1000 * (seconds - found["cache_seconds"]) / tokens, "gflop_per_s": found["flop_per_s"] / 1e9,
        "share": found["flop_per_s"] / found["most"], "gib": found["gib"], "expected_gib": found["expected_gib"],
    }  # fmt: skip


def draw(table: pl.DataFrame, path: Path) -> None:
    """Draw milliseconds a token and the share of the largest product against what varies, a panel each."""
    studies = table["study"].unique(maintain_order=True).to_list()
    size = (3 * len(studies), 5)
    figure, panels = plt.subplots(2, len(studies), figsize=size, squeeze=False, sharex="col", layout="constrained")
    for study, (above, below) in zip(studies, panels.T, strict=True):
        own = table.filter(study=study)
        places = range(len(own)) if study == "model" else own["value"].cast(pl.Float64)
        above.plot(places, own["ms"], "o-", color="black", label="all")
        above.plot(places, own["ms_apart"], "s--", color="0.5", label="without reading the cache")
        above.set_ylim(0, 1.1 * max(own["ms"]))
        below.plot(places, 100 * own["share"], "o-", color="black")
        below.set_ylim(0, 100)
        below.set_xlabel({"window": "tokens generated"}.get(study, study))
        if study not in ("model", "forks"):
            below.set_xscale("log", base=2)
        slant = {"rotation": 30, "ha": "right"} if study == "model" else {}
        below.set_xticks(list(places), own["value"], **slant)
        for axes in (above, below):
            axes.spines[["top", "right"]].set_visible(False)
    panels[0, 0].set_ylabel("milliseconds a token")
    panels[1, 0].set_ylabel("% of the largest\nmatrix product's speed")
    panels[0, 0].legend(frameon=False, fontsize=8)
    figure.savefig(path, dpi=120)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=STUDIES, action="append", help="studies; by default all")
    parser.add_argument("--out", type=Path, help="a folder for growth.csv and growth.png")
    parser.add_argument("--one", type=json.loads, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        print(json.dumps(measure(Case(**given.one))))
        return
    most, bandwidth = limits()
    print(f"{torch.get_num_threads()} threads, {most / 1e9:.0f} GFLOP/s and {bandwidth / 1e9:.0f} GB/s at most\n")
    lines = []
    for name in given.only or STUDIES:
        print(f"{name:<15}  rows  tokens  seconds  tokens/s  ms/token  apart  GFLOP/s  limit   GiB  expected")
        for case in STUDIES[name]:
            x = line(name, case)
            lines.append(x)
            print(f"{x['value']:<15}{x['rows']:>6}{x['tokens']:>8}{x['seconds']:>9.1f}{x['tokens_per_s']:>10.1f}"
                  f"{x['ms']:>10.2f}{x['ms_apart']:>7.2f}{x['gflop_per_s']:>9.0f}{x['share']:>7.0%}"
                  f"{x['gib']:>6.2f}{x['expected_gib']:>10.2f}", flush=True)  # fmt: skip
        print()
    if given.out:
        table = pl.DataFrame(lines)
        table.write_csv(given.out / "growth.csv", float_precision=3)
        draw(table, given.out / "growth.png")


if __name__ == "__main__":
    main()
