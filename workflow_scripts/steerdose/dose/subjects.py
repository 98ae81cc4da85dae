"""From the methods of a job to interventions: a steering at its doses, or a prompt's texts, which have none."""

from collections.abc import Mapping, Sequence

from steerdose.declarations.passed import KEYED_TRAJECTORIES
from steerdose.files import read_json, read_table
from steerdose.steering.intervention import Intervention, prompted_at, steered_at
from steerdose.steering.steering import Steering
from steerdose.study.settings import Subject
from steerdose.study.texts import load_system_prompts


def system_texts(subject: Subject, system_prompts: Sequence[str], behavior: str | None) -> dict[str, str]:
    """Return a prompt's text by sign. system_prompts: the one file that holds it."""
    return load_system_prompts(system_prompts[0])[behavior or ""][subject.style or ""]


def alphas_of(method: str, given: Sequence[float], designed: Sequence[str]) -> tuple[float, ...]:
    """Return the doses of a method, 0 first: those given, or those of the trajectories that were rolled out.

    designed: the one file with the trajectories of its job; empty where doses are given.
    """
    if not designed:
        return tuple(given)
    rolled = read_table(designed[0], KEYED_TRAJECTORIES, ("method", "alpha"))
    return tuple(rolled.filter(method=method)["alpha"].unique().sort())


def interventions(
    name: str,
    subject: Subject,
    alphas: Sequence[float],
    steering: Sequence[str],
    doses: Sequence[str],
    texts: Mapping[str, str],
) -> list[Intervention]:
    """Return what a method does to the model at each alpha; a prompt has only the signs of the alphas.

    steering, doses: the one file that holds the method's, {job}.search.json; both empty for a prompt. texts: a prompt's
    by sign; empty for a steering.
    """
    if texts:
        return prompted_at(sorted({(alpha > 0) - (alpha < 0) for alpha in alphas}), texts)
    vector, found = Steering.load(steering[0]).member(name), read_json(doses[0])[name]
    return steered_at(alphas, vector, found, subject.positions)
