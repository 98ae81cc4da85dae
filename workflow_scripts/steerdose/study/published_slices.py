"""The slices of rules that publish results: tables, figures, pages; what other rules depend on is in `slices`."""

from collections.abc import Iterable
from typing import Any

from steerdose.study import published as shown
from steerdose.study import settings as of
from steerdose.study.config import Study
from steerdose.study.parts import PartOf
from steerdose.study.plan import Plan
from steerdose.study.tasks import ChoiceTask, Task, measures_of


def judged(task: Task) -> Task:
    """Return what of a task tables depend on: not how it is asked, nor from which file; scores have seen that."""
    fields = type(task).model_fields
    unread: dict[str, Any] = {"data": "-", "batch_size": 1, "n_items": None}
    unread |= {name: 1 for name in ("window", "n_answers") if name in fields}
    unread |= {name: "-" for name in ("prompt", "options", "right", "prefill") if name in fields}
    if isinstance(task, ChoiceTask):
        asked = {"prompt": "-", "intended": "first"}
        unread |= {"forms": {name: form.model_copy(update=asked) for name, form in task.forms.items()}, "cluster": None}
    return task.model_copy(update=unread)


class PublishedSlices:
    """The slices of one study for its tables, figures and pages, as text."""

    def __init__(self, study: Study, plan: Plan) -> None:
        self.study, self.plan = study, plan

    @property
    def _grid(self) -> dict[str, Any]:
        rollout = self.study.rollout
        return {"probe": rollout.probes[0], "window": rollout.window, "forks": rollout.forks}

    @property
    def _panels(self) -> dict[str, Any]:
        members = {entry: tuple(self.study.methods[entry].members(entry)) for entry in self.study.study.methods}
        return {"members": members, "most": self.study.figures.most}

    # Tables

    @property
    def tabulate_aggregation(self) -> str:
        return shown.TabulateAggregation(confidence=self.study.survival.confidence).text()

    @property
    def tabulate_effects(self) -> str:
        return shown.TabulateEffects(**self._effects(self.study.study.tasks)).text()

    def _effects(self, tasks: Iterable[str]) -> dict[str, Any]:
        return {
            "tasks": {name: judged(self.study.tasks[name]) for name in tasks},
            "confidence": self.study.survival.confidence,
        }

    @property
    def tabulate_specificity(self) -> str:
        tasks = self.study.study.tasks
        return shown.TabulateSpecificity(**self._effects(tasks), controls=self._of_group("control")).text()

    @property
    def tabulate_dose(self) -> str:
        named = self._benefit
        return shown.TabulateDose(
            **self._effects(dict.fromkeys(task for task, _ in named["effects"].values())),
            **named,
            controls=self._of_group("control"),
            prompts=tuple(name for name, each in self.study.chosen.items() if not each.has_dose),
        ).text()

    @property
    def _benefit(self) -> dict[str, Any]:
        """What of benefit and damage the study asks: task and measure."""
        benefit, measured = self.study.benefit, self.study.measured
        effects = {each: measured(benefit.effects.get(each, "")) for each in self.study.study.behaviors}
        return {
            "effects": {behavior: found for behavior, found in effects.items() if found},
            "damages": tuple(found for each in benefit.damages if (found := measured(each))),
        }

    @property
    def plot_frontier(self) -> str:
        return shown.PlotFrontier(**self._panels, **self._benefit).text()

    @property
    def plot_screening(self) -> str:
        parts: dict[str, tuple[str, str, str, str]] = {
            name: (each.of, each.by, each.member, "drop" if each.drop else "keep")
            for name, each in self.study.chosen.items()
            if isinstance(each, PartOf)
        }
        return shown.PlotScreening(parts=parts, effects=self._benefit["effects"]).text()

    def _of_group(self, group: str) -> tuple[str, ...]:
        return tuple(name for name, each in self.study.chosen.items() if each.group == group)

    @property
    def tabulate_ablations(self) -> str:
        return self._parts_table(shown.TabulateAblations, self.study.ablations.methods)

    @property
    def tabulate_subspace_parts(self) -> str:
        return self._parts_table(shown.TabulateSubspaceParts, self.study.subspaces.causal)

    def _parts_table(self, kind: type[shown.TabulateAblations], methods: tuple[str, ...]) -> str:
        asked = self.study.ablations
        chosen = {each: asked.effects[each] for each in self.study.study.behaviors if each in asked.effects}
        effects = {behavior: (task, measures_of(self.study.tasks[task])[0]) for behavior, task in chosen.items()}
        if not methods:
            effects = {}
        return kind(
            **self._effects(dict.fromkeys(task for task, _ in effects.values())),
            effects=effects,
            damage=(asked.damage, judged(self.study.damage_texts)),
        ).text()

    @property
    def tabulate_subspaces(self) -> str:
        methods = self.study.subspaces.methods
        return shown.TabulateSubspaces(methods=methods, confidence=self.study.survival.confidence).text()

    @property
    def tabulate_hazards(self) -> str:
        rollout, survival = self.study.rollout, self.study.survival
        return shown.TabulateHazards(
            endpoint=self.study.endpoints[survival.endpoints[0]],
            window=rollout.window,
            forks=rollout.forks,
            confidence=survival.confidence,
        ).text()

    @property
    def tabulate_logrank(self) -> str:
        return shown.TabulateLogrank(comparisons=self._comparisons).text()

    @property
    def _comparisons(self) -> dict[str, tuple[str, ...]]:
        """The sets of methods that are compared in pairs: those of the config, or all that stand alone."""
        alone = [name for name in self.study.chosen if self.study.entries[name] == name]
        return self.study.comparisons or ({"methods": tuple(alone)} if len(alone) > 1 else {})

    @property
    def tabulate_contrasts(self) -> str:
        effects = self._benefit["effects"]
        asked = self._effects(dict.fromkeys(task for task, _ in effects.values()))
        return shown.TabulateContrasts(**asked, effects=effects, comparisons=self._comparisons).text()

    @property
    def tabulate_claims(self) -> str:
        groups = {name: each.group for name, each in self.study.chosen.items()}
        return shown.TabulateClaims(groups=groups, confidence=self.study.survival.confidence).text()

    @property
    def tabulate_dose_response(self) -> str:
        survival = self.study.survival
        return shown.TabulateDoseResponse(confidence=survival.confidence, safe_level=survival.safe_level).text()

    @property
    def tabulate_ranking(self) -> str:
        return shown.TabulateRanking(confidence=self.study.survival.confidence).text()

    @property
    def tabulate_threshold_sweep(self) -> str:
        survival = self.study.survival
        return shown.TabulateThresholdSweep(
            **self._grid,
            models=self.study.study.models,
            threshold=survival.threshold,
            values=survival.threshold_sweep,
            confidence=survival.confidence,
            safe_level=survival.safe_level,
        ).text()

    @property
    def tabulate_probes(self) -> str:
        rollout = self.study.rollout
        return shown.TabulateProbes(
            models=self.study.study.models,
            probes=rollout.probes,
            window=rollout.window,
            forks=rollout.forks,
            minimum_base_pmass=self.study.survival.minimum_base_pmass,
        ).text()

    @property
    def tabulate_relevance(self) -> str:
        judged = self.study.relevance.model_copy(update={"batch_size": 1, "tokens": 1, "others": 1})  # of the scores
        return shown.TabulateRelevance(relevance=judged, confidence=self.study.survival.confidence).text()

    @property
    def tabulate_answers(self) -> str:
        kinds = {name: self.study.probes[name].kind for name in self.study.rollout.probes}
        return shown.TabulateAnswers(kinds=kinds, confidence=self.study.survival.confidence).text()

    @property
    def tabulate_deaths(self) -> str:
        return shown.TabulateDeaths(significance=self.study.deaths.significance).text()

    @property
    def tabulate_methods(self) -> str:
        name = self.study.rollout.probes[0]
        kind = self.study.probes[name].kind
        return shown.TabulateMethods(methods=self.plan.method_files(), probe=name, kind=kind).text()

    @property
    def tabulate_geometry(self) -> str:
        return shown.TabulateGeometry(methods=self.plan.method_files(dosed=True)).text()

    # Figures and pages

    @property
    def panels(self) -> str:
        return shown.Panels(**self._panels).text()

    @property
    def plot_calibration(self) -> str:
        calibration = self.study.calibration
        return shown.PlotCalibration(
            **self._panels, tolerance=calibration.tolerance, statistic=calibration.statistic
        ).text()

    @property
    def plot_spaghetti(self) -> str:
        return shown.PlotSpaghetti(**self._panels, **self._lines).text()

    @property
    def plot_spaghetti_normalised(self) -> str:
        return shown.PlotSpaghettiNormalised(**self._panels, **self._lines, head=self.study.deaths.head).text()

    @property
    def _lines(self) -> dict[str, Any]:
        return {"smoothing": self.study.figures.smoothing, "fewest": self.study.figures.fewest}

    @property
    def plot_kl_fan(self) -> str:
        fewest = self.study.figures.fewest
        return shown.PlotKlFan(**self._panels, window=self.study.rollout.window, fewest=fewest).text()

    @property
    def plot_aggregate(self) -> str:
        return shown.PlotAggregate(
            **self._panels,
            grid=of.ForkGrid(**self._grid),
            models=self.study.study.models,
            fewest=self.study.figures.fewest,
        ).text()

    @property
    def plot_probes(self) -> str:
        return shown.PlotProbes(minimum=self.study.survival.minimum_base_pmass).text()

    @property
    def write_reading(self) -> str:
        return shown.WriteReading(probe=self.study.rollout.probes[0], reading=self.study.reading).text()
