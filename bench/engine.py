"""The rollout engine on SmolLM2 against the obvious script and a bare decode loop, side by side in one run.

Run with `make bench`; a smaller run: python bench/engine.py --prompts 2 --alphas 2 --window 32.
"""

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT / "workflow_scripts"), str(ROOT / "tests")]

import torch  # noqa: E402
from growth import Case, flop, limits  # noqa: E402
from reference.rollout import generate_one, steered_copy  # noqa: E402
from steerdose.engine.fork_grid import fork_times  # noqa: E402
from steerdose.engine.generate import generate  # noqa: E402
from steerdose.engine.probe import READINGS, ForkPlan, build_probe  # noqa: E402
from steerdose.engine.requests import Request, Trajectory, ask  # noqa: E402
from steerdose.model.architecture import find_blocks  # noqa: E402
from steerdose.model.loading import LoadedModel, OneDnnLinear, load_model  # noqa: E402
from steerdose.steering.edits import Add  # noqa: E402
from steerdose.steering.intervention import Intervention  # noqa: E402
from steerdose.steering.steering import Steering  # noqa: E402
from steerdose.study.texts import load_questions  # noqa: E402

EDITED = 18  # the block behind which all is steered
MODEL = ROOT / "results/models/smollm2"
DOSE = 45.0  # about alpha 1 of a unit vector on one block of this model
NEVER = frozenset([10**9])  # no trajectory ends by itself, so every run does the same work


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    start = time.perf_counter()
    result = work()
    return time.perf_counter() - start, result


def report(name: str, tokens: int, seconds: float, against: float | None = None, word: str = "") -> float:
    """Print tokens a second, and their ratio to `against`."""
    rate = tokens / seconds
    ratio = f"{rate / against:8.2f} x {word}" if against else ""
    print(f"{name:<52}{tokens:>8} tokens{seconds:>8.1f} s{rate:>9.1f} tokens/s{ratio}", flush=True)
    return rate


def make_requests(loaded: LoadedModel, steering: Steering, n_prompts: int, alphas: Sequence[float]) -> list[Request]:
    doses = [Intervention(steering, DOSE * alpha, alpha=alpha) for alpha in alphas]
    questions = load_questions(ROOT / "data/questions.jsonl")[:n_prompts]
    return [ask(loaded.tokenizer, q.id, q.question, dose) for q in questions for dose in doses]


def bare_decode(model: Any, rows: int, prompt: int, window: int) -> None:
    """The fastest plain loop: one batch, transformers' own cache, argmax, no steering, no KL, no forks."""
    with torch.inference_mode():
        out = model(torch.full((rows, prompt), 100), use_cache=True, logits_to_keep=1)
        for _ in range(window - 1):
            out = model(out.logits[:, -1:].argmax(-1), past_key_values=out.past_key_values, use_cache=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--prompts", type=int, default=8)
    parser.add_argument("--alphas", type=int, default=8)
    parser.add_argument("--window", type=int, default=128)
    parser.add_argument("--forks", type=int, default=10)
    parser.add_argument("--reference-trajectories", type=int, default=3, help="the script is slow: time only so many")
    given = parser.parse_args()
    plain, loaded, unpacked = load_model(MODEL, train=True), load_model(MODEL), load_model(MODEL)
    for layer in unpacked.model.modules():
        if isinstance(layer, OneDnnLinear):
            layer.packed = None
    v = torch.randn(plain.model.config.hidden_size, generator=torch.Generator().manual_seed(0))
    steering = Steering("random", ((find_blocks(plain.model)[EDITED], Add(v / v.norm())),), {})
    probes = {
        "json": build_probe(
            loaded.tokenizer, "interrupt", '{"answer":', ["true", "false"], 'Reply {"answer": true or false}.'
        )
    }
    alphas = [4 * (i + 1) / given.alphas for i in range(given.alphas)]
    requests = make_requests(loaded, steering, given.prompts, alphas)

    def engine(
        using: LoadedModel, wanted: Sequence[Request], window: int, times: Sequence[int], readings: int = 2
    ) -> list[Trajectory]:
        plan = ForkPlan(probes, times, READINGS[:readings])
        return generate(using, wanted, window=window, end_ids=NEVER, batch_size=96, plan=plan)

    print(f"{given.alphas} alphas x {given.prompts} prompts x {given.window} tokens x {given.forks} forks, "
          f"{torch.get_num_threads()} threads\n")  # fmt: skip
    times = fork_times(given.window, count=given.forks)
    chosen = requests[:: max(1, len(requests) // given.reference_trajectories)][: given.reference_trajectories]
    coefficients = {request.intervention.coefficient for request in chosen}
    steered = {c: steered_copy(plain.model, steering, c) for c in coefficients}
    seconds, expected = timed(
        lambda: [
            generate_one(
                plain.model, steered[r.intervention.coefficient], list(r.ids), given.window, NEVER, probes, times
            )
            for r in chosen
        ]
    )
    script = report("the obvious script", given.window * len(chosen), seconds)
    total = given.window * len(requests)
    seconds, found = timed(lambda: engine(loaded, requests, given.window, times))
    report("the engine", total, seconds, script, "the script")
    case = Case(prompts=given.prompts, doses=given.alphas, window=given.window, forks=given.forks)
    report("  its arithmetic at the machine's best", total, flop(case, EDITED) / limits()[0], script, "the script")
    gaps = [
        abs(a - b)
        for request, (path, _) in zip(chosen, expected, strict=True)
        for a, b in zip(found[requests.index(request)].kl, path.kl, strict=True)
    ]
    print(f"{'  largest difference of KL between the two, nats':<52}{max(gaps):>12.1e}")

    prompt = max(len(request.ids) for request in requests)
    seconds, _ = timed(lambda: bare_decode(plain.model, len(requests), prompt, given.window))
    bare = report("bare decode loop, unsteered, no KL, no forks", total, seconds)
    seconds, _ = timed(lambda: engine(loaded, requests, given.window, []))
    report("the engine without forks", total, seconds, bare, "the bare loop")

    some = requests[::5]
    print(f"\non {len(some)} of the trajectories")
    for name, using in (("packed weights", loaded), ("oneDNN's linear layers", unpacked), ("torch's own", plain)):
        seconds, _ = timed(lambda using=using: engine(using, some, given.window, times))
        report(f"  {name}", given.window * len(some), seconds)
    seconds, _ = timed(lambda: engine(loaded, some, given.window, times, readings=1))
    report("  forks read by the steered model alone", given.window * len(some), seconds)
    print("cost against the number of forks")
    for count in (2, given.forks, 2 * given.forks):
        grid = fork_times(given.window, every=max(1, given.window // (count - 1)))
        seconds, _ = timed(lambda grid=grid: engine(loaded, some, given.window, grid))
        report(f"  {len(grid)} forks", given.window * len(some), seconds)
    print("cost against the window")
    for window in (given.window // 2, given.window, 2 * given.window):
        grid = fork_times(window, count=given.forks)
        seconds, _ = timed(lambda window=window, grid=grid: engine(loaded, some, window, grid))
        report(f"  {window} tokens", window * len(some), seconds)


if __name__ == "__main__":
    main()
