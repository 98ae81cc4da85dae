"""Kinds of endpoints: what a study may call the death of a trajectory, with its options."""

from typing import Annotated, Literal

from pydantic import Field

from steerdose.study.base import Count, Part, Positive, Share


class Reference(Part):
    """Texts of the unsteered model, which say what is still sound: greedy ones, and samples at temperature 1."""

    n_questions: Count = Field(description="The first of data.questions, one greedy text each.")
    n_samples: Count = Field(description="Sampled texts of each question.")
    batch_size: Count


class Deaths(Part):
    """What KL says about deaths."""

    head: Count = Field(description="Tokens at a trajectory's beginning; the p95 of their KL is the scale of its KL.")
    significance: Annotated[float, Field(gt=0, le=0.5)] = Field(
        description="A death has a spike or a sustained rise before it if at most this share of the survivors have as "
        "high a ratio on as many tokens. At least 1 / significance - 1 survivors are needed to tell."
    )


class Relevance(Part):
    """When a text counts as not about its question: a verdict on the whole text, without a time."""

    tokens: Count = Field(description="Of its beginning, that are read behind other questions.")
    fewest: Count = Field(description="Shorter texts have no verdict.")
    others: Count = Field(description="Other questions, each of which serves equally often.")
    size: Share = Field(gt=0, lt=1, description="Share of unsteered texts that may count as irrelevant, at most.")
    batch_size: Count = Field(description="Texts read at a time.")


class TextEndpoint(Part):
    """The text leaves what the unsteered model writes, and stays away for a stretch."""

    kind: Literal["text"]
    size: Share = Field(0.05, gt=0, lt=1, description="Share of unsteered texts that may ever ring, at most.")
    repetition_tokens: Count = Field(48, description="Trailing tokens over which repeated 4-grams are counted.")
    nll_tokens: Count = Field(24, description="Trailing tokens over which the NLL is averaged.")
    stretch: Count = Field(16, description="Tokens that it must stay broken, and be sound again to have recovered.")

    @property
    def lengths(self) -> dict[str, int]:
        """The trailing stretch of each measure, in tokens."""
        return {"repetition": self.repetition_tokens, "nll": self.nll_tokens}


class AnswerEndpoint(Part):
    """The steered model does not answer most of the rolled-out probes, at several forks in a row."""

    kind: Literal["answer"]
    forks: Count = Field(2, description="Consecutive forks at which it must fail.")


class FirstDipEndpoint(Part):
    """The first rolled-out probe is once below its threshold, and that is final: the research code's definition."""

    kind: Literal["first_dip"]


class KlEndpoint(Part):
    """The calibration's statistic over the last tokens exceeds a multiple of the calibration's target."""

    kind: Literal["kl"]
    tokens: Count = Field(48, description="Trailing tokens over which the statistic is taken.")
    multiple: Positive = Field(2.0, description="Of the target.")


Endpoint = Annotated[TextEndpoint | AnswerEndpoint | FirstDipEndpoint | KlEndpoint, Field(discriminator="kind")]
