"""How often does the alarm ring on sound text? Fresh samples of the unsteered model, which no band has seen.

Run `make survival`, then `python bench/alarms.py`: it draws other samples at temperature 1 than the reference cohort's,
of as many tokens, and prints how many of them ring against its bands, with an exact interval. `--without joint` leaves
a measure out.
"""

import argparse
import sys
from dataclasses import replace
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT / "workflow_scripts")]

import yaml  # noqa: E402
from scipy.stats import binomtest  # noqa: E402
from steerdose.engine.generate import generate  # noqa: E402
from steerdose.files import read_json  # noqa: E402
from steerdose.model.loading import load_model  # noqa: E402
from steerdose.outcomes.trailing import MEASURES, highest, series_of  # noqa: E402
from steerdose.outcomes.trajectories import requests_of  # noqa: E402
from steerdose.steering.intervention import UNSTEERED  # noqa: E402
from steerdose.study.endpoints import TextEndpoint  # noqa: E402
from steerdose.study.load import load_study  # noqa: E402
from steerdose.study.rollout import Decoding  # noqa: E402
from steerdose.study.settings import Run  # noqa: E402
from steerdose.study.texts import load_questions  # noqa: E402

OTHER = 1000  # samples from here on are drawn by nothing else


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--texts", type=int, default=200)
    parser.add_argument("--without", choices=MEASURES, help="leave a measure out")
    parser.add_argument("--results", type=Path, default=ROOT / "results")
    given = parser.parse_args()
    study = load_study(yaml.safe_load((ROOT / "config.yaml").read_text("utf-8")), ["config.yaml"])
    name, model = study.survival.endpoints[0], study.study.models[0]
    endpoint = study.endpoints[name]
    if not isinstance(endpoint, TextEndpoint):
        parser.error(f"the first endpoint, {name}, is not of kind text")
    bands = read_json(given.results / model / "reference/bands.json")[name]["bands"]
    kept = [measure for measure in MEASURES if measure != given.without]
    loaded = load_model(given.results / "models" / model, Run(device=study.device))
    questions = load_questions(ROOT / study.data.questions)[: study.reference.n_questions]
    drawn = Decoding(temperature=1.0, top_p=1.0, n_samples=-(-given.texts // len(questions)))
    requests = requests_of(loaded.tokenizer, questions, [UNSTEERED], study.rollout.template, drawn)
    fresh = [replace(request, sample=OTHER + request.sample) for request in requests][: given.texts]
    found = generate(
        loaded, fresh, window=study.rollout.window, batch_size=study.reference.batch_size, description="fresh texts"
    )
    worst = [
        highest(series_of(text.token_ids, text.nll, endpoint.repetition_tokens), endpoint.lengths) for text in found
    ]
    rang = {measure: sum(each[measure] > bands[measure] for each in worst) for measure in kept}
    any_rang = sum(any(each[measure] > bands[measure] for measure in kept) for each in worst)
    low, high = binomtest(any_rang, len(worst)).proportion_ci(0.95)
    print(
        f"{any_rang} of {len(worst)} fresh texts ring: {any_rang / len(worst):.1%}, {low:.1%} to {high:.1%}; by {rang}"
    )


if __name__ == "__main__":
    main()
