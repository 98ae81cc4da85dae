"""Which slice of the study each rule depends on, as the text of its `params`. A function is named after its rule."""

from typing import Any

from steerdose.study import published as shown
from steerdose.study import settings as of
from steerdose.study.config import Study
from steerdose.study.endpoints import TextEndpoint
from steerdose.study.methods import Adapter, Parts
from steerdose.study.plan import Plan
from steerdose.study.rollout import Trajectories


class Slices:
    """The slices of one study. Functions take a job's wildcards and return text for `params`; constants are text."""

    def __init__(self, study: Study, plan: Plan) -> None:
        self.study, self.plan = study, plan

    def _run(self, w: Any) -> of.Run:
        return of.Run(dtype=self.study.models[w.model].dtype, device=self.study.device)

    def _method(self, w: Any) -> Any:
        return self.study.methods[w.entry].own()

    def _subjects(self, w: Any) -> dict[str, of.Subject]:
        """The methods of a job, for what depends on their steering but not on their target."""
        return {name: of.Subject(style=self.plan.method(name).system_style) for name in self.plan.jobs[w.job]}

    @property
    def _trajectories(self) -> Trajectories:
        shared = {name: getattr(self.study.rollout, name) for name in Trajectories.model_fields}
        return Trajectories(**shared)

    @property
    def _grid(self) -> dict[str, Any]:
        rollout = self.study.rollout
        return {"probe": rollout.probes[0], "window": rollout.window, "forks": rollout.forks}

    @property
    def _panels(self) -> dict[str, Any]:
        members = {entry: tuple(self.study.methods[entry].members(entry)) for entry in self.study.study.methods}
        return {"members": members, "most": self.study.figures.most}

    # Steerings

    def resolve_model(self, w: Any) -> str:
        return self.study.models[w.model].model_copy(update={"dtype": "float32"}).text()

    def generate_pairs(self, w: Any) -> str:
        return of.GeneratePairs(run=self._run(w), pairs=self.study.pairs).text()

    def train_adapter(self, w: Any) -> str:
        method = self.study.methods[w.entry]
        assert isinstance(method, Adapter)
        return of.TrainAdapter(run=self._run(w), method=method.trained()).text()

    def merge_diff(self, w: Any) -> str:
        return of.MergeDiff(method=self._method(w)).text()

    def capture_activations(self, w: Any) -> str:
        return of.CaptureActivations(run=self._run(w), batch_size=self.study.repe.batch_size).text()

    def fit_repe(self, w: Any) -> str:
        method = self._method(w)
        options = method.fitted.model_dump()  # defaults too: a job depends on their values, not on where they stand
        return of.FitRepe(method=method.model_copy(update={"options": options})).text()

    def draw_control(self, w: Any) -> str:
        return of.DrawControl(method=self._method(w)).text()

    def import_steering(self, w: Any) -> str:
        return of.ImportSteering(method=self._method(w)).text()

    def make_parts(self, w: Any) -> str:
        method = self._method(w)
        assert isinstance(method, Parts)
        return of.MakeParts(method=method).text()

    # Doses

    def calibrate_alpha(self, w: Any) -> str:
        subjects = {
            name: each.model_copy(update={"target": None if each.style else self.study.target_of(name)})
            for name, each in self._subjects(w).items()
        }
        return of.CalibrateAlpha(run=self._run(w), calibration=self._calibration(w), methods=subjects).text()

    def _calibration(self, w: Any) -> Any:
        """The search, without what it does not depend on: prompts have no dose, and each method has its target."""
        unused: dict[str, Any] = {"n_audit_prompts": 1, "target": 1.0}
        if not any(self.plan.method(name).has_dose for name in self.plan.jobs[w.job]):
            unused |= {"tolerance": 1.0, "max_evaluations": 1, "n_search_prompts": 1}
        return self.study.calibration.model_copy(update=unused)

    def audit_dose(self, w: Any) -> str:
        first, last = self.plan.audit_spans[int(w.part)]
        measure = {name: getattr(self.study.calibration, name) for name in of.Measure.model_fields}
        measure |= {"n_prompts": 1, "n_audit_prompts": 1, "statistic": "mean"}
        return of.AuditDose(
            run=self._run(w), measure=of.Measure(**measure), methods=self._subjects(w), first=first, last=last
        ).text()

    def gather_calibration(self, w: Any) -> str:
        return of.GatherCalibration(statistic=self.study.calibration.statistic, method=w.method).text()

    # Rollouts

    def audit_probe(self, w: Any) -> str:
        read, every = self.study.rollout.probes, self.study.probes
        names = read if w.probes == "rolled_out" else [name for name in every if name not in read]
        probes = {name: every[name] for name in names}
        greedy = self._trajectories.model_copy(update={"decoding": "greedy"})
        return of.AuditProbe(run=self._run(w), trajectories=greedy, probes=probes).text()

    def rollout_trajectories(self, w: Any) -> str:
        rollout = self.study.rollout
        first, last = self.plan.rollout_spans[int(w.part)]
        return of.RolloutTrajectories(
            run=self._run(w),
            trajectories=self._trajectories,
            probes={name: self.study.probes[name] for name in rollout.probes},
            readings=rollout.readings,
            alphas=rollout.alphas,
            methods=self._subjects(w),
            first=first,
            last=last,
        ).text()

    def roll_reference(self, w: Any) -> str:
        rollout = self.study.rollout
        return of.RollReference(
            run=self._run(w), reference=self.study.reference, template=rollout.template, window=rollout.window
        ).text()

    @property
    def set_bands(self) -> str:
        texts = {name: each for name, each in self.study.chosen_endpoints.items() if isinstance(each, TextEndpoint)}
        limits = {name: each.model_copy(update={"stretch": 1}) for name, each in texts.items()}  # of deaths alone
        return of.SetBands(endpoints=limits).text()

    def gather_rollouts(self, w: Any) -> str:
        return of.GatherRollouts(method=w.method).text()

    def score_task(self, w: Any) -> str:
        first, last = self.plan.score_spans(w.task)[int(w.part)]
        return of.ScoreTask(
            run=self._run(w),
            task=self.study.tasks[w.task],
            alphas=self.study.rollout.alphas,
            methods=self._subjects(w),
            first=first,
            last=last,
        ).text()

    gather_scores = gather_rollouts

    # Survival

    @property
    def set_threshold(self) -> str:
        survival = self.study.survival
        return of.SetThreshold(
            probes=self.study.rollout.probes,
            threshold=survival.threshold,
            minimum_base_pmass=survival.minimum_base_pmass,
            maximum_base_rep_4=survival.maximum_base_rep_4,
            maximum_nll_ratio=survival.maximum_nll_ratio,
        ).text()

    @property
    def kaplan_meier(self) -> str:
        return of.KaplanMeier(
            **self._grid,
            order=self.study.survival.endpoints,
            endpoints=self.study.chosen_endpoints,
            statistic=self.study.calibration.statistic,
            confidence=self.study.survival.confidence,
        ).text()

    @property
    def measure_prefixes(self) -> str:
        return of.MeasurePrefixes(statistic=self.study.calibration.statistic, head=self.study.deaths.head).text()

    # Tables

    @property
    def tabulate_aggregation(self) -> str:
        return shown.TabulateAggregation(confidence=self.study.survival.confidence).text()

    @property
    def tabulate_knowledge(self) -> str:
        return shown.TabulateKnowledge(confidence=self.study.survival.confidence).text()

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
        alone = [name for name, each in self.study.chosen.items() if self.study.entries[name] == name]
        default = {"methods": tuple(alone)} if len(alone) > 1 else {}
        return shown.TabulateLogrank(comparisons=self.study.comparisons or default).text()

    @property
    def tabulate_dose_response(self) -> str:
        survival = self.study.survival
        return shown.TabulateDoseResponse(confidence=survival.confidence, safe_level=survival.safe_level).text()

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
    def tabulate_deaths(self) -> str:
        return shown.TabulateDeaths(significance=self.study.deaths.significance).text()

    @property
    def tabulate_methods(self) -> str:
        return shown.TabulateMethods(methods=self.plan.method_files(), probe=self.study.rollout.probes[0]).text()

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

    def write_card(self, w: Any) -> str:
        confidence = self.study.survival.confidence
        return of.WriteCard(confidence=confidence, origin=self.plan.method(w.method).origin).text()
