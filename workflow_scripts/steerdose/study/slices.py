"""Which slice of the study each rule depends on, as the text of its `params`. A function is named after its rule."""

from collections.abc import Iterable
from typing import Any

from steerdose.study import published as shown
from steerdose.study import settings as of
from steerdose.study.ablations import GROUPS
from steerdose.study.endpoints import TextEndpoint
from steerdose.study.methods import Adapter
from steerdose.study.parts import Parts
from steerdose.study.published_slices import PublishedSlices
from steerdose.study.rollout import Trajectories
from steerdose.study.subspaces import Switches
from steerdose.study.tasks import ChoiceTask, LikelihoodTask

CAPTURED = ("common_suffix", "one_rendering")  # switches of captures; the others are of bases and labels


def _only(switches: Switches, names: Iterable[str]) -> Switches:
    """Return switches of which all but some are as by default."""
    return Switches(**{name: getattr(switches, name) for name in names})


class Slices(PublishedSlices):
    """The slices of one study. Functions take a job's wildcards and return text for `params`; constants are text."""

    def _run(self, w: Any) -> of.Run:
        model = self.study.models[w.model]
        return of.Run(dtype=model.dtype, device=self.study.device, quantization=model.quantization)

    def _writing(self, w: Any) -> of.Run:
        return self._run(w).model_copy(update={"cuda_graphs": self.study.cuda_graphs})

    def _method(self, w: Any) -> Any:
        return self.study.methods[w.entry].own()

    def _subjects(self, w: Any) -> dict[str, of.Subject]:
        """The methods of a job, for what depends on their steering but not on their target."""
        return {name: self._subject(name) for name in self.plan.jobs[w.job]}

    def _subject(self, name: str) -> of.Subject:
        style = self.plan.method(name).system_style
        return of.Subject(style=style, positions="all" if style else self.study.positions_of(name))

    @property
    def _trajectories(self) -> Trajectories:
        shared = {name: getattr(self.study.rollout, name) for name in Trajectories.model_fields}
        return Trajectories(**shared)

    # Steerings

    def resolve_model(self, w: Any) -> str:
        return self.study.models[w.model].model_copy(update={"dtype": "float32", "quantization": None}).text()

    def measure_speed(self, w: Any) -> str:
        return of.MeasureSpeed(run=self._writing(w), rows=self.study.rollout.batch_size).text()

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

    def construct_delta(self, w: Any) -> str:
        return of.ConstructDelta(method=self._method(w)).text()

    def draw_control(self, w: Any) -> str:
        return of.DrawControl(method=self._method(w)).text()

    def import_steering(self, w: Any) -> str:
        return of.ImportSteering(method=self._method(w)).text()

    def make_parts(self, w: Any) -> str:
        method = self._method(w)
        assert isinstance(method, Parts)
        return of.MakeParts(method=method).text()

    @property
    def share_bases(self) -> str:
        asked = self.study.ablations
        return of.ShareBases(methods=asked.methods, widths=asked.widths, columns=max(asked.widths)).text()

    def capture_sites(self, w: Any) -> str:
        asked = self.study.subspaces
        return of.CaptureSites(
            run=self._run(w), n_prompts=asked.n_prompts, switches=_only(asked.definitions, CAPTURED)
        ).text()

    @property
    def build_subspaces(self) -> str:
        asked = self.study.subspaces
        built = {*type(asked.definitions).model_fields} - {*CAPTURED, "exact_delta"}
        switches, columns = _only(asked.definitions, built), max(asked.widths)
        return of.BuildSubspaces(layer_range=asked.layer_range, switches=switches, columns=columns).text()

    def sweep_subspaces(self, w: Any) -> str:
        asked = self.study.subspaces
        shared = {name: getattr(asked, name) for name in ("n_heldout", "widths", "alpha")}
        exact = asked.definitions.exact_delta
        return of.SweepSubspaces(run=self._run(w), batch_size=self.study.repe.batch_size, **shared, exact=exact).text()

    # Doses

    def calibrate_alpha(self, w: Any) -> str:
        subjects = {
            name: each.model_copy(update={"target": None if each.style else self.study.target_of(name)})
            for name, each in self._subjects(w).items()
        }
        return of.CalibrateAlpha(run=self._writing(w), calibration=self._calibration(w), methods=subjects).text()

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
            run=self._writing(w), measure=of.Measure(**measure), methods=self._subjects(w), first=first, last=last
        ).text()

    def gather_calibration(self, w: Any) -> str:
        return of.GatherCalibration(statistic=self.study.calibration.statistic, method=w.method).text()

    # Rollouts

    def audit_probe(self, w: Any) -> str:
        read, every = self.study.rollout.probes, self.study.probes
        names = read if w.probes == "rolled_out" else [name for name in every if name not in read]
        probes = {name: every[name] for name in names}
        greedy = self._trajectories.model_copy(update={"decoding": "greedy"})
        return of.AuditProbe(run=self._writing(w), trajectories=greedy, probes=probes).text()

    def rollout_trajectories(self, w: Any) -> str:
        first, last = self.plan.rollout_spans[int(w.part)]
        alphas = self.study.rollout.fixed
        return of.RolloutTrajectories(**self._rolled(w), alphas=alphas, first=first, last=last).text()

    def design_rollouts(self, w: Any) -> str:
        survival, first = self._survival, self.study.survival.endpoints[:1]
        deciding = {"order": first, "endpoints": {name: self.study.endpoints[name] for name in first}}
        design = self.study.rollout.design
        return shown.DesignRollouts(
            **self._rolled(w), design=design, survival=survival.model_copy(update=deciding)
        ).text()

    def _rolled(self, w: Any) -> dict[str, Any]:
        rollout = self.study.rollout
        return {
            "run": self._writing(w),
            "trajectories": self._trajectories,
            "probes": {name: self.study.probes[name] for name in rollout.probes},
            "readings": rollout.readings,
            "methods": self._subjects(w),
        }

    def roll_reference(self, w: Any) -> str:
        rollout = self.study.rollout
        return of.RollReference(
            run=self._writing(w), reference=self.study.reference, template=rollout.template, window=rollout.window
        ).text()

    def score_relevance(self, w: Any) -> str:
        return of.ScoreRelevance(**self._relevance(w, self.study.rollout.n_questions)).text()

    def score_reference(self, w: Any) -> str:
        return of.ScoreReference(**self._relevance(w, self.study.reference.n_questions)).text()

    def _relevance(self, w: Any, n_questions: int) -> dict[str, Any]:
        read = self.study.relevance.model_copy(update={"fewest": 1, "size": 0.5})  # of the verdict alone
        template = self.study.rollout.template
        return {"run": self._run(w), "relevance": read, "template": template, "n_questions": n_questions}

    @property
    def set_bands(self) -> str:
        texts = {name: each for name, each in self.study.chosen_endpoints.items() if isinstance(each, TextEndpoint)}
        limits = {name: each.model_copy(update={"stretch": 1}) for name, each in texts.items()}  # of deaths alone
        return of.SetBands(endpoints=limits).text()

    def gather_rollouts(self, w: Any) -> str:
        return of.GatherRollouts(method=w.method).text()

    def _part(self, w: Any) -> dict[str, Any]:
        """What a job on a part of a task's items depends on, but for the task."""
        first, last = self.plan.score_spans(w.task)[int(w.part)]
        alphas = () if self.plan.is_designed(w.job) else self.study.rollout.fixed
        shared = {"run": self._run(w), "alphas": alphas, "methods": self._subjects(w)}
        return {**shared, "first": first, "last": last}

    def score_task(self, w: Any) -> str:
        task = self.study.read_task(w.task)
        if isinstance(task, ChoiceTask):
            task = task.model_copy(update={"measures": {}})
        template = self.study.rollout.template if isinstance(task, LikelihoodTask) else ""
        return of.ScoreTask(**self._part(w), task=task, template=template).text()

    def write_texts(self, w: Any) -> str:
        task = self.study.written_task(w.task).model_copy(update={"scorer": "valence"})
        return of.WriteTexts(**self._part(w) | {"run": self._writing(w)}, task=task).text()

    def score_texts(self, w: Any) -> str:
        task = self.study.written_task(w.task).model_copy(update={"batch_size": 1, "window": 1, "n_items": None})
        return of.ScoreTexts(task=task, method=w.method, endpoint=self.plan.text_endpoint).text()

    gather_scores = gather_rollouts

    def screen_parts(self, w: Any) -> str:
        asked = self.study.ablations
        name = asked.effects[w.behavior]
        task = self.study.read_task(name).model_copy(update={"n_items": asked.n_items, "batch_size": 1})
        if isinstance(task, ChoiceTask):
            task = task.model_copy(update={"measures": {}})
        shared = {each: getattr(asked, each) for each in ("draws", "alpha", "tolerance", "max_evaluations", "n_tokens")}
        shared["widths"] = asked.widths if w.group in ("spectra", "bases") else ()
        ways = asked.ways_of(w.group)
        if w.group == "hypotheses":
            ways, shared["widths"] = GROUPS[w.group], (self.study.subspaces.causal_width,)
        texts = self.study.damage_texts.model_copy(update={"n_answers": asked.n_answers, "batch_size": 1})
        return of.ScreenParts(
            run=self._run(w),
            ways=ways,
            **shared,
            effect=name,
            task=task,
            damage=asked.damage,
            texts=texts,
            template=self.study.rollout.template,
        ).text()

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
        return self._survival.text()

    @property
    def _survival(self) -> of.KaplanMeier:
        return of.KaplanMeier(
            **self._grid,
            order=self.study.survival.endpoints,
            endpoints=self.study.chosen_endpoints,
            statistic=self.study.calibration.statistic,
            confidence=self.study.survival.confidence,
        )

    @property
    def measure_prefixes(self) -> str:
        return of.MeasurePrefixes(statistic=self.study.calibration.statistic, head=self.study.deaths.head).text()

    def run_lm_eval(self, w: Any) -> str:
        positions = self.study.positions_of(w.method)
        return shown.RunLmEval(run=self._run(w), positions=positions, options=self.study.lm_eval).text()

    def write_card(self, w: Any) -> str:
        method, confidence = self.plan.method(w.method), self.study.survival.confidence
        return shown.WriteCard(confidence=confidence, origin=method.origin, imported=bool(method.sources)).text()
