"""What must fit together in a study: names that refer to each other, files, and as many texts as are asked for."""

from collections.abc import Callable, Collection, Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from steerdose.errors import SteerdoseError
from steerdose.study.config import Study
from steerdose.study.estimators import ESTIMATORS
from steerdose.study.fits import unfitting
from steerdose.study.items import Row, forms_of, is_local, load_items
from steerdose.study.kind import Method, PromptTarget
from steerdose.study.methods import HUB_ID, Activation, Adapter, Import
from steerdose.study.parts import OF_BASES, OF_SUBSPACES, Parts
from steerdose.study.paths import MODEL
from steerdose.study.sources import kind_of
from steerdose.study.tasks import ChoiceTask, LikelihoodTask, WritingTask, measures_of
from steerdose.study.texts import load_personas, load_prompts, load_questions, load_system_prompts

Problem = tuple[tuple[str | int, ...], str]


def problems_of(study: Study) -> Iterator[Problem]:
    """Yield the key path and the text of every problem."""
    for check in (
        *(_names, _twins, _models, _quantized, _options, _derived, _sources, _comparisons, _targets, _texts, _tasks),
        *(_ablations, _subspaces, unfitting),
    ):
        yield from check(study)


def _undefined(name: str, where: str, known: Collection[str]) -> str:
    return f"'{name}' is not defined under {where} (defined: {sorted(known)})"


def _names(study: Study) -> Iterator[Problem]:
    chosen = study.study
    for name in chosen.models:
        if name not in study.models:
            yield ("study", "models"), _undefined(name, "models", study.models)
    for name in chosen.methods:
        if name not in study.methods:
            yield ("study", "methods"), _undefined(name, "methods", study.methods)
    for name in chosen.tasks:
        if name not in study.tasks:
            yield ("study", "tasks"), _undefined(name, "tasks", study.tasks)
    for name in study.rollout.probes:
        if name not in study.probes:
            yield ("rollout", "probes"), _undefined(name, "probes", study.probes)
    for name in study.survival.endpoints:
        if name not in study.endpoints:
            yield ("survival", "endpoints"), _undefined(name, "endpoints", study.endpoints)
    members = [member for entry, kind in study.methods.items() for member in kind.members(entry)]
    for member in sorted({member for member in members if members.count(member) > 1}):
        yield ("methods",), f"'{member}' is the name of several methods; rename an entry"


def _twins(study: Study) -> Iterator[Problem]:
    """Yield names that differ in case alone: many file systems take their files for one."""
    for section in ("models", "methods", "tasks", "probes", "endpoints"):
        first: dict[str, str] = {}
        for name in getattr(study, section):
            if (other := first.setdefault(name.casefold(), name)) != name:
                yield (section, name), f"differs from '{other}' in upper and lower case alone; rename one"


def _models(study: Study) -> Iterator[Problem]:
    for name in study.study.models:
        model = study.models.get(name)
        if model is None or Path(MODEL.format(model=name)).exists():
            continue
        try:
            kind_of(model.source, model.revision, f"models.{name}.source")
        except SteerdoseError as error:
            yield ("models", name, "source"), str(error)


def _quantized(study: Study) -> Iterator[Problem]:
    for name in study.study.models:
        model = study.models.get(name)
        if model is None or model.quantization is None:
            continue
        if not all(map(find_spec, ("bitsandbytes", "torchao"))):
            text = "needs an extra: pip install -r requirements-quantized.txt"
            yield ("models", name, "quantization"), text
        for key in study.study.methods:
            method = study.methods.get(key)
            if isinstance(method, Adapter) and not method.is_additive:
                text = (
                    f"the change of a weight would depend on the weight, which is rounded in {name}: give LORA "
                    f"without use_dora and init_lora_weights, or models.{name}.quantization: null"
                )
                yield ("methods", key, "peft_type"), text


def _options(study: Study) -> Iterator[Problem]:
    for name, method in study.methods.items():
        for place, text in method.problems():
            yield ("methods", name, *place), text


def _derived(study: Study) -> Iterator[Problem]:
    for name, method in study.methods.items():
        of = method.derives_from
        copied = [other for other, each in study.methods.items() if each.makes and not each.derives_from]
        if of is not None and of not in copied:
            yield ("methods", name, "of"), f"'{of}' has no steering of its own to copy or cut; give one of {copied}"


def _sources(study: Study) -> Iterator[Problem]:
    for name, method in study.methods.items():
        for side, source in method.sources.items():
            if not Path(source).exists() and not HUB_ID.fullmatch(source):
                yield ("methods", name, side), f"'{source}' is no existing path and no hub id 'owner/name@revision'"


def _comparisons(study: Study) -> Iterator[Problem]:
    for name, methods in study.comparisons.items():
        for method in methods:
            if method not in _chosen(study):
                yield ("comparisons", name), f"'{method}' is not among the study's methods ({sorted(_chosen(study))})"


def _chosen(study: Study) -> dict[str, Method]:
    return {
        name: each
        for entry in study.study.methods
        if entry in study.methods
        for name, each in study.methods[entry].members(entry).items()
    }


def _targets(study: Study) -> Iterator[Problem]:
    prompts = [name for name, method in study.methods.items() if not method.has_dose]
    targets: dict[tuple[str, ...], Any] = {("calibration", "target"): study.calibration.target}
    targets |= {("methods", name, "target"): method.target for name, method in study.methods.items()}
    for place, target in targets.items():
        if isinstance(target, PromptTarget) and target.prompt not in prompts:
            text = f"'{target.prompt}' is not a method of kind prompt; give one of {prompts}, or a number of nats"
            yield (*place, "prompt"), text
    chosen = _chosen(study)
    if chosen and not any(method.has_dose for method in chosen.values()):
        yield ("study", "methods"), f"{list(chosen)} are all prompts, which have no dose; add a method that has one"


def _texts(study: Study) -> Iterator[Problem]:
    data, calibration = study.data, study.calibration
    files: dict[str, Callable[..., Any]] = {
        **{"prompts": load_prompts, "questions": load_questions, "personas": load_personas},
        **{"system_prompts": load_system_prompts},
    }
    read: dict[str, Any] = {}
    for name, load in files.items():
        try:
            read[name] = load(getattr(data, name))
        except SteerdoseError as error:
            yield ("data", name), str(error).removeprefix(f"data.{name}: ")
    splits = [prompt.split for prompt in read.get("prompts", ())]
    wanted = {
        ("pairs", "n_prompts"): ("pairs", study.pairs.n_prompts),
        ("calibration", "n_prompts"): ("calibration", calibration.n_prompts),
        ("calibration", "n_audit_prompts"): ("audit", calibration.n_audit_prompts),
    }
    for place, (split, count) in wanted.items():
        if "prompts" in read and splits.count(split) < count:
            yield place, f"{count} prompts wanted, data.prompts has {splits.count(split)} in split '{split}'"
    for section in ("rollout", "reference"):
        count = getattr(study, section).n_questions
        if "questions" in read and len(read["questions"]) < count:
            yield (section, "n_questions"), f"{count} wanted, data.questions has {len(read['questions'])}"
    named = isinstance(calibration.target, PromptTarget) or any(
        not method.has_dose or isinstance(method.target, PromptTarget) for method in _chosen(study).values()
    )
    for behavior in study.study.behaviors:
        for name in ("personas", "system_prompts") if named else ("personas",):
            if name in read and behavior not in read[name]:
                yield ("study", "behaviors"), f"'{behavior}' has no texts in data.{name} (it has {sorted(read[name])})"


def _tasks(study: Study) -> Iterator[Problem]:
    benefit = study.benefit
    named: dict[tuple[str | int, ...], str] = {
        ("benefit", "effects", key): name for key, name in benefit.effects.items()
    }
    named |= {("benefit", "damages", place): name for place, name in enumerate(benefit.damages)}
    for place, name in named.items():
        asked, _, measure = name.partition(".")
        if asked not in study.tasks:
            yield place, _undefined(asked, "tasks", study.tasks)
        elif measure and measure not in measures_of(study.tasks[asked]):
            yield place, f"'{asked}' has no measure '{measure}'; it has {list(measures_of(study.tasks[asked]))}"
    for name in study.study.tasks:
        if name not in study.tasks:
            continue
        task = study.tasks[name]
        if not is_local(task.data):
            if task.n_items is None:
                yield ("tasks", name, "n_items"), "say how many items of the hub's file are read"
            continue
        try:
            items = load_items(task)
        except SteerdoseError as error:
            yield ("tasks", name, "data"), str(error)
            continue
        if isinstance(task, ChoiceTask):
            yield from _unasked(name, task, items)
        if isinstance(task, LikelihoodTask) and task.n_answers > study.reference.n_questions:
            text = f"{task.n_answers} texts wanted, reference.n_questions is {study.reference.n_questions}"
            yield ("tasks", name, "n_answers"), text
        yield from _overlaps(study, name, items)


def _unasked(name: str, task: ChoiceTask, items: Sequence[Row]) -> Iterator[Problem]:
    """Yield a problem where there are forms in which no item is asked."""
    asked = {form for item in items for form in forms_of(item, task)}
    unasked = [form for form in task.forms if form not in asked]
    if unasked:
        form = task.forms[unasked[0]]
        columns = sorted(form.columns | {form.intended.removeprefix("not ")} - {"first", "second"})
        there = sorted(set().union(*items))
        text = f"no item is asked in {', '.join(unasked)}: {unasked[0]} reads {columns}, {task.data} has {there}"
        yield ("tasks", name, "forms"), text


def _overlaps(study: Study, name: str, items: Sequence[Row]) -> Iterator[Problem]:
    """Yield a problem where a task's item is among the prompts that steerings are made of."""
    try:
        trained = {_plain(each.prompt) for each in load_prompts(study.data.prompts) if each.split == "pairs"}
    except SteerdoseError:
        return  # said elsewhere
    for item in items:
        shared = [value for value in item.values() if isinstance(value, str) and _plain(value) in trained]
        if shared:
            yield ("tasks", name, "data"), f"item '{item['id']}' is a prompt of split pairs: '{shared[0][:60]}'"


def _plain(text: str) -> str:
    return " ".join(text.casefold().split())


def _deltas(study: Study, section: str, names: Sequence[str]) -> Iterator[Problem]:
    deltas = [name for name, each in study.methods.items() if isinstance(each, Adapter | Import)]
    for name in names:
        if name not in deltas:
            yield (section, "methods"), f"'{name}' is no weight delta of its own; give some of {deltas}"


def _screened(study: Study, section: str, key: str, names: Sequence[str]) -> Iterator[Problem]:
    """Yield what keeps the parts of methods from being read with the model."""
    asked = study.ablations
    for name in names:
        if name in study.methods and (study.methods[name].positions or study.positions) != "all":
            yield (section, key), f"'{name}' steers some tokens alone; a part is read with all steered"
    if names and not isinstance(study.tasks.get(asked.damage), LikelihoodTask):
        yield ("ablations", "damage"), f"'{asked.damage}' is not a task of kind likelihood"
    if names and asked.n_answers > study.reference.n_questions:
        text = f"{asked.n_answers} wanted, reference.n_questions is {study.reference.n_questions}"
        yield ("ablations", "n_answers"), text


def _ablations(study: Study) -> Iterator[Problem]:
    asked = study.ablations
    yield from _deltas(study, "ablations", asked.methods)
    yield from _screened(study, "ablations", "methods", asked.methods)
    behaviors = list(study.study.behaviors)
    if asked.methods and not {*behaviors} & {*asked.effects}:
        yield ("ablations", "effects"), f"none of {behaviors} is there, so that no part of a delta would be read"
    for behavior, name in asked.effects.items():
        if isinstance(study.tasks.get(name), WritingTask | None):
            read = [each for each, task in study.tasks.items() if not isinstance(task, WritingTask)]
            yield ("ablations", "effects", behavior), f"'{name}' is no task that is read; give one of {read}"
    for name, method in study.methods.items():
        if isinstance(method, Parts) and method.by in OF_BASES and method.of not in asked.methods:
            yield ("methods", name, "of"), f"'{method.of}' is not in ablations.methods, whose families make the bases"


def _subspaces(study: Study) -> Iterator[Problem]:
    asked = study.subspaces
    yield from _deltas(study, "subspaces", asked.methods)
    for name, method in study.methods.items():
        if isinstance(method, Parts) and method.by in OF_SUBSPACES:
            wide = [each for each in method.names if int(str(each).partition("-")[2] or 0) > max(asked.widths)]
            if wide:
                text = f"{wide}: bases have {max(asked.widths)} directions, the most of subspaces.widths"
                yield ("methods", name, "names"), text
    if (asked.methods or asked.causal) and asked.n_prompts > study.pairs.n_prompts:
        yield ("subspaces", "n_prompts"), f"{asked.n_prompts} wanted, pairs.n_prompts is {study.pairs.n_prompts}"
    yield from _screened(study, "subspaces", "causal", asked.causal)
    if asked.causal and asked.causal_width not in asked.widths:
        yield ("subspaces", "causal_width"), f"{asked.causal_width} is not in subspaces.widths, so it has no score"
    cut = [name for name, each in study.methods.items() if isinstance(each, Adapter | Import) or _adds(each)]
    for name in asked.causal:
        if name not in cut:
            yield ("subspaces", "causal"), f"'{name}' has nothing to project on a basis; give some of {cut}"


def _adds(method: Method) -> bool:
    """Whether a method adds directions to the stream."""
    return isinstance(method, Activation) and ESTIMATORS[method.estimator].adds and method.submodule is None
