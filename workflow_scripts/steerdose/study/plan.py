"""The files of a study: which there are, and which of them a job reads. Paths hold the wildcards of the rules."""

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from steerdose.study.ablation_files import AblationFiles
from steerdose.study.blocks import spans
from steerdose.study.endpoints import TextEndpoint
from steerdose.study.items import load_items
from steerdose.study.kind import Method, PromptTarget
from steerdose.study.paths import CELL, at, local_files
from steerdose.study.published import MethodFiles
from steerdose.study.tasks import LikelihoodTask, WritingTask

BENCHMARKS = "results/benchmarks"


class Plan(AblationFiles):
    """What a study consists of, for the rules' inputs and targets."""

    @cached_property
    def jobs(self) -> dict[str, tuple[str, ...]]:
        """The methods of every job that runs the model, by the job's name: one method, or several of one entry."""
        found: dict[str, tuple[str, ...]] = {}
        for entry, kind in self.study.methods.items():
            names, size = tuple(kind.members(entry)), self.study.jobs.methods
            if names == (entry,):
                found[entry] = names
                continue
            starts = range(0, len(names), size)
            found |= {f"{entry}.job{start // size}": names[start : start + size] for start in starts}
        return found

    @cached_property
    def job_of(self) -> dict[str, str]:
        """The job of every method."""
        return {method: job for job, methods in self.jobs.items() for method in methods}

    def method(self, name: str) -> Method:
        return self.study.all_methods[name]

    def names(self, *, dosed: bool = False, made_by: str | None = None) -> list[str]:
        """Return the study's methods: all, those with a dose, or those that a rule makes."""
        chosen = self.study.chosen.items()
        return [name for name, each in chosen if each.has_dose >= dosed and made_by in (None, each.makes)]

    @property
    def with_dose(self) -> list[str]:
        """Every method of the config that has a dose, in the study or not."""
        return [name for name, each in self.study.all_methods.items() if each.has_dose]

    def made_by(self, rule: str) -> list[str]:
        """Return the entries of the config whose steering a rule writes, in the study or not."""
        return [name for name, kind in self.study.methods.items() if kind.makes == rule]

    def one_of(self, names: Iterable[object]) -> str:
        """Return the pattern of a wildcard that is one of these names."""
        return "|".join(re.escape(str(name)) for name in names) or "(?!)"

    # Cells

    def each(self, pattern: str, methods: Iterable[str] | None = None) -> list[str]:
        """Return `pattern` for every cell and method of the study, in the config's order."""
        names = self.names() if methods is None else list(methods)
        return [pattern.format(**cell, method=name) for cell in self.cells for name in names]

    def of_cell(self, w: Any, file: str) -> list[str]:
        """Return a file of every method of the study in a job's own cell."""
        return [at(w, f"{CELL}/{file}", method=name) for name in self.names()]

    def each_model(self, pattern: str) -> list[str]:
        return [pattern.format(model=model) for model in self.study.study.models]

    # Files that a job reads

    def steering(self, w: Any) -> list[str]:
        """Return the steering file of a job's methods; none of prompts. w: wildcards with `method` or `job`."""
        method = self.jobs[w.job][0] if "job" in w.keys() else w.method  # noqa: SIM118
        return self._steering_of(w, method) if self.method(method).makes else []

    def derived_from(self, w: Any) -> str:
        """Return the steering that the entry of a control, or of parts, is made of."""
        return self._steering_of(w, self.study.methods[w.entry].derives_from or "")[0]

    def captured(self, w: Any) -> str:
        """Return the activations that an entry is fitted to."""
        submodule = getattr(self.study.methods[w.entry], "submodule", None)
        return at(w, f"{CELL}/captures/{submodule or 'residual'}.safetensors")

    def references(self, w: Any) -> list[str]:
        """Return the measured prompts that the targets of a job's methods name."""
        targets = [self.study.target_of(method) for method in self.jobs[w.job]]
        prompts = dict.fromkeys(target.prompt for target in targets if isinstance(target, PromptTarget))
        doses = any(self.method(method).has_dose for method in self.jobs[w.job])
        return [at(w, f"{CELL}/calibration/{prompt}.json") for prompt in prompts if doses]

    def search(self, w: Any) -> list[str]:
        """Return table and summary of the search that a job's, or a method's, doses come from."""
        job = w.job if "job" in w.keys() else self.job_of[w.method]  # noqa: SIM118
        return [at(w, f"{CELL}/calibration/jobs/{job}.{file}") for file in ("search.parquet", "search.json")]

    def calibrated(self) -> list[str]:
        """Return the tables of the doses of the study's methods, a file a job and cell."""
        jobs = dict.fromkeys(self.job_of[name] for name in self.names(dosed=True))
        pattern = f"{CELL}/calibration/jobs/{{job}}.doses.parquet"
        return [pattern.format(**cell, job=job) for cell in self.cells for job in jobs]

    def audits(self, w: Any) -> list[str]:
        """Return the parts of the audit of a method's dose."""
        pattern = f"{CELL}/calibration/jobs/{self.job_of[w.method]}.audit{{part}}.parquet"
        return [at(w, pattern, part=part) for part in range(len(self.audit_spans))]

    def system_prompts(self, w: Any) -> list[str]:
        """Return the file of system prompts where a job's methods have any."""
        used = any(self.method(method).system_style for method in self.jobs[w.job])
        return [self.study.data.system_prompts] if used else []

    def doses(self, w: Any) -> list[str]:
        """Return the file of the doses of a job's methods; none of prompts. No rollout waits for the dose's audit."""
        return self.search(w)[1:] if any(self.method(method).has_dose for method in self.jobs[w.job]) else []

    def rollouts(self, table: str) -> Any:
        """Return the function that gives the parts of a method's rollouts; one where doses are placed in turn."""

        def parts(w: Any) -> list[str]:
            job, cut = self.job_of[w.method], [f".{part}" for part in range(len(self.rollout_spans))]
            folder, cut = ("designed", [""]) if self.is_designed(job) else ("jobs", cut)
            return [at(w, f"{CELL}/rollouts/{folder}/{job}{part}.{table}.parquet") for part in cut]

        return parts

    def is_designed(self, job: str) -> bool:
        """Whether the doses of a job's methods are placed in turn."""
        return self.study.rollout.alphas == "auto" and any(self.method(name).has_dose for name in self.jobs[job])

    def designed(self, w: Any) -> list[str]:
        """Return the table whose doses a job on tasks is to take; none where the study gives them."""
        return [at(w, f"{CELL}/rollouts/designed/{{job}}.trajectories.parquet")] if self.is_designed(w.job) else []

    def scores(self, w: Any) -> list[str]:
        """Return the parts of a method's scores of a task."""
        pattern = f"{CELL}/scores/jobs/{self.job_of[w.method]}.{w.task}.{{part}}.parquet"
        return [at(w, pattern, part=part) for part in range(len(self.score_spans(w.task)))]

    def model_files(self, w: Any) -> list[str]:
        return local_files(self.study.models[w.model].source)

    def imported_files(self, w: Any) -> list[str]:
        sources = self.study.methods[w.entry].sources
        return [file for source in sources.values() for file in local_files(source)]

    # Jobs over parts of the prompts

    @cached_property
    def rollout_spans(self) -> list[tuple[int, int]]:
        rollout = self.study.rollout
        rows = len(rollout.fixed) * rollout.n_samples
        return spans(rollout.n_questions, rows, rollout.batch_size, self.study.jobs.batches)

    @cached_property
    def audit_spans(self) -> list[tuple[int, int]]:
        calibration = self.study.calibration
        return spans(calibration.n_audit_prompts, 1, calibration.batch_size, self.study.jobs.batches)

    def score_spans(self, task: str) -> list[tuple[int, int]]:
        return spans(self.n_items(task), 1, self.study.tasks[task].batch_size, self.study.jobs.batches)

    def n_items(self, task: str) -> int:
        """Return how many items a task has."""
        asked = self.study.tasks[task]
        fixed = asked.n_items or len(load_items(asked))
        return fixed + (asked.n_answers if isinstance(asked, LikelihoodTask) else 0)

    def tasks(self, *, written: bool) -> list[str]:
        """Return the tasks of the config that are written, or read."""
        return [name for name, each in self.study.tasks.items() if isinstance(each, WritingTask) == written]

    @cached_property
    def text_endpoint(self) -> tuple[str, TextEndpoint] | None:
        """The first endpoint of the study that says of a text that it is broken."""
        chosen = self.study.chosen_endpoints.items()
        return next(((name, each) for name, each in chosen if isinstance(each, TextEndpoint)), None)

    def items(self, w: Any) -> list[str]:
        """Return the file of a task's items, if it is on this machine."""
        return local_files(self.study.tasks[w.task].data)

    def recommended(self, w: Any) -> list[str]:
        """Return the table of recommended doses where the study has a method in this cell."""
        cell = {name: str(getattr(w, name)) for name in ("model", "behavior", "seed")}
        known = any({name: str(value) for name, value in each.items()} == cell for each in self.cells)
        return ["results/tables/dose.parquet"] if known and w.method in self.names(dosed=True) else []

    def lm_eval_files(self, w: Any) -> list[str]:  # noqa: ARG002
        """Return the files of the folder that holds tasks of lm-eval."""
        folder = Path(self.study.lm_eval.include_path or "")
        return sorted(str(path) for path in folder.rglob("*") if path.is_file()) if folder.name else []

    def answers(self, w: Any) -> list[str]:
        """Return the file of the unsteered model's texts where a task reads some of them."""
        task = self.study.tasks[w.task]
        read = isinstance(task, LikelihoodTask) and task.n_answers
        return [at(w, "results/{model}/reference/tokens.parquet")] if read else []

    def written(self, table: str) -> Any:
        """Return the function that gives the parts of what a method wrote for a task."""
        return lambda w: [
            at(w, f"{CELL}/written/jobs/{self.job_of[w.method]}.{w.task}.{part}.{table}.parquet")
            for part in range(len(self.score_spans(w.task)))
        ]

    def all_scores(self, *, benefit: bool = False) -> list[str]:
        """Return the scores of every method on the study's tasks, or on those alone that show a cell's behavior."""
        found = []
        for cell in self.cells:
            shown = self.study.measured(self.study.benefit.effects.get(cell["behavior"], ""))
            tasks = ([shown[0]] if shown else []) if benefit else self.study.study.tasks
            pattern = f"{CELL}/scores/{{method}}.{{task}}.parquet"
            found += [pattern.format(**cell, method=name, task=task) for task in tasks for name in self.names()]
        return found

    # What tables and figures ask for

    def method_files(self, *, dosed: bool = False) -> tuple[MethodFiles, ...]:
        """Return every method of every cell with the files that say what it cost."""
        return tuple(self._files(cell, name) for cell in self.cells for name in self.names(dosed=dosed))

    def _files(self, cell: Mapping[str, Any], name: str) -> MethodFiles:
        method, entry = self.method(name), self.study.entries[name]
        place = "{model}.{behavior}.seed{seed}".format(**cell)
        jobs = {"generate_pairs": place, "capture_activations": f"{place}.{_submodule(method)}"}
        jobs |= {"calibrate_alpha": f"{place}.{self.job_of[name]}"}
        ran = [(rule, dot + sign) for rule, dot, sign in (job.partition(".") for job in method.jobs)]
        return MethodFiles(
            **cell,
            method=name,
            member=getattr(method, "member", None),
            group=method.group,
            origin=method.origin,
            calibration=f"{CELL}/calibration/{name}.json".format(**cell),
            steering=f"{CELL}/steering/{entry}.safetensors".format(**cell) if method.makes else None,
            geometry=f"{CELL}/steering/{entry}.geometry.json".format(**cell) if method.makes else None,
            benchmarks=tuple(f"{BENCHMARKS}/{r}/{jobs.get(r, f'{place}.{entry}')}{sign}.tsv" for r, sign in ran),
        )

    def losses(self) -> list[str]:
        """Return the loss tables of the study's adapters, both signs."""
        found = self.each(f"{CELL}/adapters/{{method}}", self.names(made_by="merge_diff"))
        return [f"{adapter}.{sign}.training.parquet" for adapter in found for sign in ("positive", "negative")]


def _submodule(method: Method) -> str:
    return getattr(method, "submodule", None) or "residual"


def content(paths: Sequence[str]) -> str:
    """Return a digest of small files' content, so that another file of the same name is noticed whatever its time."""
    digest = hashlib.sha256()
    for path in paths:
        digest.update(Path(path).read_bytes() if Path(path).is_file() else b"")
    return digest.hexdigest()[:16]


def state(paths: Sequence[str]) -> str:
    """Return a digest of large files' names, sizes and times: any other time counts, an older one too."""
    stats = [(path, Path(path).stat()) for path in paths]
    return hashlib.sha256(repr([(p, s.st_size, s.st_mtime_ns) for p, s in stats]).encode()).hexdigest()[:16]
