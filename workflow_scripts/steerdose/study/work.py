"""How much a job asks of the model, before it runs: what its settings say, with rough lengths of its texts.

A text that ends early makes a job shorter, a search that needs more steps than usual makes it longer.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from steerdose.study.ablations import GROUPS
from steerdose.study.config import Study
from steerdose.study.items import Row, fill, forms_of, is_local, load_items
from steerdose.study.kind import Method
from steerdose.study.methods import Adapter
from steerdose.study.plan import Plan
from steerdose.study.tasks import ChoiceTask, LikelihoodTask, OptionsTask, ReadTask
from steerdose.study.texts import load_prompts, load_questions

CHARACTERS = 4.2  # of English a token
CHAT = 36  # tokens of a chat template, with a system text of the model's own
PERSONA = 25  # tokens of a persona, or of a system prompt
EVALUATIONS = 3  # of the model, until a search meets its target
GARBAGE = 5, 12  # kinds of garbage that a probe is audited behind, of so many prompts at most
SUFFIX = 22  # tokens that a probe appends to a text
# How often the parts of a group are read; controls: for each draw.
READINGS = {"modules": 165, "spectra": 105, "bases": 90, "controls": 18, "hypotheses": 230}


@dataclass(frozen=True)
class Work:
    """Tokens that a job gives to the model, and how.

    decoded: one at a time, in `rows` rows of `window` tokens. read: many at once. trained: with gradients, in
    `precision`. above: the share of the blocks that lie above the first edit, where a row and its unsteered twin are
    two, and what is read at several doses is read at each; 0 where nothing is edited. again: so many tokens are read
    there. width: tokens of a row at the end. scored: those of them whose probability is asked, at most. copies: of all
    parameters in fp32 that are held at a time, where these are more than the model as it is loaded.
    """

    decoded: float = 0
    rows: int = 0
    window: int = 0
    read: float = 0
    trained: float = 0
    above: float = 0
    again: float = 0
    precision: str = "float32"
    width: float = 0
    scored: float = 0
    copies: int = 0

    @property
    def tokens(self) -> float:
        return self.decoded + self.read + self.trained


def tokens_in(texts: Sequence[str]) -> float:
    """Return about how many tokens a text has as a prompt, on the average."""
    return CHAT + sum(map(len, texts)) / max(1, len(texts)) / CHARACTERS


class Works:
    """The work of each job of a study. Functions take a job's wildcards, and are named after its rule."""

    def __init__(self, study: Study, plan: Plan) -> None:
        self.study, self.plan = study, plan
        self._prompt = cache(lambda: tokens_in([each.prompt for each in load_prompts(study.data.prompts)]))
        self._question = cache(self._mean_question)

    def of(self, rule: str, wildcards: Any) -> Work | None:
        """Return the work of a job; None of a rule that runs no model. wildcards: as in the rules' functions."""
        found: Callable[[Any], Work] | None = getattr(self, rule, None)
        return found(wildcards) if found else None

    def _mean_question(self) -> float:
        asked = load_questions(self.study.data.questions)
        return tokens_in([self.study.rollout.template.replace("{question}", each.question) for each in asked])

    @property
    def _pairs(self) -> int:
        return self.study.pairs.n_prompts * self.study.pairs.n_samples

    def generate_pairs(self, _: Any) -> Work:
        asked, texts = self.study.pairs, 2 * self._pairs
        width = self._prompt() + PERSONA
        window, rows = asked.max_new_tokens, min(texts, asked.batch_size)
        return Work(texts * window, rows, window, read=texts * width, width=width + window)

    def train_adapter(self, w: Any) -> Work:
        method = self.study.methods[w.entry]
        assert isinstance(method, Adapter)
        training = method.training
        width = min(training.max_tokens, self._prompt() + self.study.pairs.max_new_tokens)
        heldout = max(1, training.heldout_fraction * self._pairs) * (1 + training.steps // training.eval_steps)
        trained = (training.steps * training.batch_size + heldout / 3) * width  # a loss alone takes a third
        return Work(trained=trained, rows=training.batch_size, width=width, precision=training.precision)

    def merge_diff(self, _: Any) -> Work:
        return Work(copies=3)  # the model, and what each of two adapters makes of it

    def capture_activations(self, _: Any) -> Work:
        width = self._prompt() + PERSONA
        return Work(read=2 * self._pairs * width, rows=self.study.repe.batch_size, width=width)

    sweep_subspaces = capture_activations

    def capture_sites(self, _: Any) -> Work:
        width = self._prompt() + PERSONA
        return Work(read=2 * self.study.subspaces.n_prompts * width, rows=self.study.repe.batch_size, width=width)

    def calibrate_alpha(self, w: Any) -> Work:
        asked = self.study.calibration
        dosed = [self.plan.method(name).has_dose for name in self.plan.jobs[w.job]]
        searches = min(EVALUATIONS, asked.max_evaluations)
        few = min(asked.n_search_prompts, asked.n_prompts)
        # In the end the change that a dose makes is read once more, on the few.
        texts = 2 * sum(searches * few + asked.n_prompts if each else asked.n_prompts for each in dosed)
        rows = min(few if any(dosed) else asked.n_prompts, asked.batch_size)
        return self._steered(w.job, texts, rows, asked.max_new_tokens, self._prompt())

    def audit_dose(self, w: Any) -> Work:
        asked = self.study.calibration
        first, last = self.plan.audit_spans[int(w.part)]
        texts, rows = 2 * (last - first) * len(self.plan.jobs[w.job]), min(last - first, asked.batch_size)
        return self._steered(w.job, texts, rows, asked.max_new_tokens, self._prompt())

    def _steered(
        self, job: str, texts: float, rows: int, window: int, prompt: float, doses: int = 1, forks: float = 0
    ) -> Work:
        """Return the work of writing texts, most of them steered, and of reading forks of each. prompt, forks: tokens.

        doses: that a prompt is answered at; below the first edit it is read once for them all.
        """
        above, again = self._above(job), texts * (prompt + forks)
        read = again if above == 1 else texts * (prompt / doses + forks)
        return Work(texts * window, rows, window, read, above=above, again=again, width=prompt + window)

    def _above(self, job: str) -> float:
        """Return the share of the blocks that lie above the first edit of any method of a job."""
        return 1 - min(self._below(self.plan.method(name)) for name in self.plan.jobs[job])

    def _below(self, method: Method) -> float:
        return self._below(self.plan.method(method.derives_from)) if method.derives_from else method.below

    def audit_probe(self, w: Any) -> Work:
        asked = self.study.rollout
        n = len(asked.probes) if w.probes == "rolled_out" else len(self.study.probes) - len(asked.probes)
        texts = asked.n_questions if n else 0
        asked_behind = self._question() + asked.window / 2 + SUFFIX
        read = (
            texts * (self._question() + n * (self._forks * SUFFIX + asked_behind))
            + n * GARBAGE[0] * min(GARBAGE[1], texts) * asked_behind
        )
        rows = min(max(1, texts), asked.batch_size)
        return Work(texts * asked.window, rows, asked.window, read=read, width=self._question() + asked.window)

    @property
    def _forks(self) -> int:
        forks = self.study.rollout.forks
        return forks.count or 1 + -(-self.study.rollout.window // (forks.every or 1))

    def roll_reference(self, _: Any) -> Work:
        asked, window = self.study.reference, self.study.rollout.window
        texts = asked.n_questions * (1 + asked.n_samples)
        width = self._question() + window
        return Work(texts * window, min(texts, asked.batch_size), window, read=texts * self._question(), width=width)

    def rollout_trajectories(self, w: Any) -> Work:
        first, last = self.plan.rollout_spans[int(w.part)]
        return self._rollouts(w.job, self._doses(w.job), last - first)

    def design_rollouts(self, w: Any) -> Work:
        asked = self.study.rollout
        at_once = min(asked.n_samples * asked.n_questions, asked.batch_size)  # one dose after another
        return replace(self._rollouts(w.job, self._doses(w.job), asked.n_questions), rows=at_once)

    def _rollouts(self, job: str, doses: int, questions: int) -> Work:
        asked = self.study.rollout
        rows = doses * asked.n_samples * questions
        forks = len(asked.readings) * len(asked.probes) * self._forks * SUFFIX
        texts = rows * len(self.plan.jobs[job])
        return self._steered(job, texts, min(rows, asked.batch_size), asked.window, self._question(), doses, forks)

    def score_relevance(self, w: Any) -> Work:
        asked = self.study.rollout
        doses = self._doses(self.plan.job_of[w.method])
        return self._relevance(doses * asked.n_samples * asked.n_questions)

    def _doses(self, job: str) -> int:
        """Return at how many doses a job's methods are asked, 0 among them; a prompt has its signs alone."""
        asked = self.study.rollout
        if self.plan.is_designed(job):
            return 1 + asked.design.most
        dosed = any(self.plan.method(name).has_dose for name in self.plan.jobs[job])
        return len(asked.fixed if dosed else {(alpha > 0) - (alpha < 0) for alpha in asked.fixed})

    def score_reference(self, _: Any) -> Work:
        return self._relevance(self.study.reference.n_questions * (1 + self.study.reference.n_samples))

    def _relevance(self, texts: int) -> Work:
        asked, width = self.study.relevance, self._question() + self.study.relevance.tokens
        return Work(read=texts * asked.others * width, rows=asked.batch_size, width=width, scored=asked.tokens)

    def score_task(self, w: Any) -> Work:
        first, last = self.plan.score_spans(w.task)[int(w.part)]
        task, steered = self.study.read_task(w.task), self._doses(w.job) - 1
        above, rows = self._above(w.job), task.batch_size * (1 + steered)
        width = self._asked(w.task) / max(1, self.plan.n_items(w.task))
        once = (last - first) * width
        again = once * (1 + steered * len(self.plan.jobs[w.job]))
        scored = 0 if isinstance(task, ChoiceTask) else width
        read = again if above == 1 else once
        return Work(read=read, above=above, again=again, rows=rows, width=width, scored=scored)

    def _asked(self, name: str) -> float:
        """Return about how many tokens the items of a task are together."""
        task = self.study.read_task(name)
        own = (task.n_answers or 0) if isinstance(task, LikelihoodTask) else 0
        fixed = load_items(task) if is_local(task.data) else []
        answers = own * (self._question() + self.study.rollout.window)
        return answers + sum(tokens_in([text]) for row in fixed for text in texts_of(row, task))

    def write_texts(self, w: Any) -> Work:
        task, doses = self.study.written_task(w.task), self._doses(w.job)
        first, last = self.plan.score_spans(w.task)[int(w.part)]
        rows = (last - first) * doses
        texts = rows * len(self.plan.jobs[w.job])
        prompt = tokens_in([row["prompt"] for row in load_items(task)]) if is_local(task.data) else self._prompt()
        return self._steered(w.job, texts, min(rows, task.batch_size * doses), task.window, prompt, doses)

    def screen_parts(self, w: Any) -> Work:
        asked = self.study.ablations
        name = asked.effects[w.behavior]
        effect = self._asked(name) / max(1, self.plan.n_items(name)) * asked.n_items
        damage = asked.n_answers * (self._question() + asked.n_tokens)
        ways = asked.ways_of(w.group) or GROUPS[w.group]
        draws = asked.draws if w.group == "controls" else 1
        readings = READINGS[w.group] * draws * len(ways) / len(GROUPS[w.group])
        packed = effect + damage - CHAT * (asked.n_items + asked.n_answers - 1)  # all begin with the same tokens
        merged = 3 if self.study.models[w.model].dtype == "float32" else 0  # the model, packed, and what is merged
        return Work(read=readings * packed, rows=1, width=512, copies=merged)


def texts_of(row: Row, task: ReadTask) -> Iterable[str]:
    """Return the texts that the model reads of an item; answers behind one prompt are one text."""
    if isinstance(task, ChoiceTask):
        return [fill(task.forms[name].prompt, row) for name in forms_of(row, task)]
    if isinstance(task, OptionsTask):
        return [fill(task.prompt, row) + "".join(map(str, row.get(task.options) or ()))]
    return [fill(task.prompt, row) + str(row.get("text", ""))]
