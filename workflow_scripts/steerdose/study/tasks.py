"""Kinds of tasks: what is asked of a steered model to see what the steering bought and what it cost."""

import re
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from steerdose.study.base import Count, Name, Part, Text, told_apart, unique

COLUMN = re.compile(r"\{(\w+)\}")
FORMS = re.compile(r"(first|second|(not )?[\w.]+)")


class Items(Part):
    """The items of a task: rows of a file of JSON lines, CSV or parquet, each with an `id` or numbered."""

    data: Text = Field(description="A path; or owner/name@revision:path of a file in a data set of the hub.")
    n_items: Count | None = Field(None, description="The first of the file; null: all. Of the hub: to be given.")
    batch_size: Count = Field(description="Items at a time.")

    @property
    def columns(self) -> set[str]:
        """The columns that the task reads of an item."""
        return set()


class Form(Part):
    """One way to ask for an item's two answers. An item that lacks a column of the prompt is not asked in this form."""

    prompt: Text = Field(description="What the user says; {column} is put in from the item.")
    answers: tuple[Text, Text]
    intended: Annotated[str, Field(pattern=f"^{FORMS.pattern}$")] = Field(
        description="Which answer shows the behavior: first, second, or a column of the item (true, 1 or the first "
        "answer itself: first), or `not` and a column."
    )

    _unique = field_validator("answers")(unique)
    _apart = field_validator("answers")(told_apart)

    @property
    def columns(self) -> set[str]:
        """The columns without which the form is not asked."""
        return set(COLUMN.findall(self.prompt))

    @property
    def is_lettered(self) -> bool:
        """Whether the answers are single letters, so that a lean to the first is one to an order, not to a word."""
        return all(len(answer) == 1 for answer in self.answers)


class ChoiceTask(Items):
    """Two answers, of which one shows the behavior; read in one forward a form."""

    kind: Literal["choice"]
    cluster: Text | None = Field(None, description="Column that says which items belong together; null: each alone.")
    prefill: str = Field("", description="What the model's answer begins with.")
    forms: dict[Name, Form] = Field(min_length=1)
    measures: dict[Name, tuple[Name, ...]] = Field(
        {}, description="Which forms make a measure of their own; empty: all make the measure `shift`."
    )

    @model_validator(mode="after")
    def _known_forms(self) -> "ChoiceTask":
        for name, forms in self.measures.items():
            if unknown := sorted(set(forms) - set(self.forms)):
                raise ValueError(f"measures.{name}: {unknown} are no forms; there are {sorted(self.forms)}")
        return self

    @property
    def columns(self) -> set[str]:
        return {self.cluster} if self.cluster else set()


class OptionsTask(Items):
    """Several answers, of which some are right; each is read as the whole answer."""

    kind: Literal["options"]
    prompt: Text
    options: Text = Field(description="Column of the list of answers; a.b is b inside a.")
    right: Text = Field(description="Column of a list that says of each whether it is right, 1 or 0.")

    @property
    def columns(self) -> set[str]:
        return {*COLUMN.findall(self.prompt), self.options.split(".")[0], self.right.split(".")[0]}


class LikelihoodTask(Items):
    """How likely texts are: fixed ones, and what the unsteered model itself answered."""

    kind: Literal["likelihood"]
    prompt: Text = Field(description="What a fixed text answers; {column} is put in from the item.")
    n_answers: Annotated[int, Field(ge=0)] = Field(
        description="Of the unsteered model's greedy texts on the first questions, read behind their question."
    )

    @property
    def columns(self) -> set[str]:
        return {"text", "register", *COLUMN.findall(self.prompt)}


class WritingTask(Items):
    """What the model writes on prompts, judged by a program."""

    kind: Literal["writing"]
    scorer: Literal["valence", "checks"] = Field(
        description="valence: how glad its words are; checks: the share of the item's `checks` that it passes."
    )
    window: Count = Field(description="Tokens, at most.")

    @property
    def columns(self) -> set[str]:
        return {"prompt", "checks"} if self.scorer == "checks" else {"prompt"}


ReadTask = ChoiceTask | OptionsTask | LikelihoodTask  # read in one forward; nothing is written
Task = Annotated[ReadTask | WritingTask, Field(discriminator="kind")]
MEASURES: dict[str, tuple[str, ...]] = {
    "options": ("margin",),
    "likelihood": ("nll", "agreement"),
    "valence": ("valence",),
    "checks": ("passed",),
}


def measures_of(task: Any) -> tuple[str, ...]:
    """Return the names of what a task measures; the first one is meant where the task alone is named."""
    if isinstance(task, ChoiceTask):
        return tuple(task.measures) or ("shift",)
    return MEASURES[task.scorer if isinstance(task, WritingTask) else task.kind]
