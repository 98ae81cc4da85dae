"""How many doses does a lethal dose take, placed in turn or on a grid? Methods whose lethal dose was drawn.

`python bench/design.py` places doses as `rollout.alphas: auto` does and prints, for spreads of the prompts' own lethal
doses, how wide the interval of the LD50 is (upper over lower bound, the median over methods), how often it holds the
truth, the smallest regular grid over the same range whose interval is as short, and the ratio of their rollouts. 24
prompts, doses from 0.125 to 8, lethal doses drawn from 0.4 to 5, c_star known to 5 %.
"""

import argparse
import math
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT / "workflow_scripts"), str(ROOT / "tests")]

import numpy as np  # noqa: E402
from design_examples import Simulated  # noqa: E402
from steerdose.design.place import Known  # noqa: E402

SPREADS, DESIGNED, GRIDS = (0.15, 0.35, 0.7), (3, 4, 5, 6), (4, 5, 6, 7, 8, 9, 11, 13, 16, 20, 25)
BOUNDS = {"lowest": 0.125, "highest": 8.0, "ratio": 1.0}
FIRST = 1000  # tests draw smaller numbers


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--methods", type=int, default=40)
    draws = range(FIRST, FIRST + parser.parse_args().methods)
    print("spread  placed  upper/lower  held  grid  upper/lower  rollouts of placed / grid")
    for spread in SPREADS:
        methods = [Simulated.drawn(draw, spread) for draw in draws]
        regular = {n: middle([each.known(np.geomspace(0.125, 8, n)) for each in methods]) for n in GRIDS}
        for n in DESIGNED:
            found = [each.designed(n, **BOUNDS)[1] for each in methods]
            width, held = middle(found), np.mean([holds(k, each) for k, each in zip(found, methods, strict=True)])
            grid = next((count for count in GRIDS if regular[count] <= width), None)
            shown = f"{grid:4d}  {regular[grid]:11.2f}  {n / grid:.2f}" if grid else f"more than {GRIDS[-1]}"
            print(f"{spread:6.2f}  {n:6d}  {width:11.2f}  {held:4.2f}  {shown}")


def middle(known: list[Known]) -> float:
    """Return the median over methods of an interval's upper over its lower bound, infinite where it is open."""
    return float(np.median([each.high / each.low if each.low and each.high else math.inf for each in known]))


def holds(known: Known, method: Simulated) -> bool:
    return bool(known.low and known.high and known.low <= method.ld50 <= known.high)


if __name__ == "__main__":
    main()
