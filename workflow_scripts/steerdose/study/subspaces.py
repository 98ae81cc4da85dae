"""How bases of subspaces are defined: as corrected here, or as they were published, switch by switch."""

from typing import Annotated, Literal

from pydantic import Field, field_validator

from steerdose.study.base import Count, Name, Part, Positive, Share, rising, unique


class Switches(Part):
    """The defaults are the corrected definitions; `LEGACY` has all of the published ones."""

    center_contrasts: bool = Field(
        False, description="Take the mean difference away before the principal directions: it is the main effect."
    )
    fold_norm_gain: bool = Field(True, description="Readers in residual coordinates, their norm's gain folded in.")
    whole_heads: bool = Field(
        True, description="Grouped keys and values are repeated by head; else row by row, which pairs other rows."
    )
    common_suffix: bool = Field(
        True,
        description="Of tokens under two personas those are compared that both texts have; else all, aligned at the "
        "right, the longer text's beginning against zeros.",
    )
    determined_rotation: bool = Field(
        True, description="A rotation within what the data determine; else completed arbitrarily to all dimensions."
    )
    one_rendering: bool = Field(
        True, description="Clean prompts in the chat template like the personas' ones; else as raw text."
    )
    exact_delta: bool = Field(True, description="The delta from its factors; else of weights rounded to bfloat16.")
    checked_rank: bool = Field(
        True, description="Directions that are rounding are left out; else the width is what was asked for."
    )
    balanced: bool = Field(True, description="Matrices that stand side by side are heard alike, whatever their norms.")
    refilled: bool = Field(True, description="What is left beside forbidden directions is filled up to the width.")
    same_block: bool = Field(
        True,
        description="What a block's attention writes is read by its own MLP; and churn is what a block itself writes, "
        "not the next one.",
    )
    measured_sink: bool = Field(True, description="The values of the first token as measured; else of a raw embedding.")
    turned_features: bool = Field(
        True, description="Added, amplified and suppressed features as directions; else coordinate by coordinate."
    )


LEGACY = Switches(
    center_contrasts=True, fold_norm_gain=False, whole_heads=False, common_suffix=False, determined_rotation=False,
    one_rendering=False, exact_delta=False, checked_rank=False, balanced=False, refilled=False, same_block=False,
    measured_sink=False, turned_features=False,
)  # fmt: skip


class Subspaces(Part):
    """The sweep of directions that can be named before training: which hold what training changes."""

    methods: tuple[Name, ...] = Field((), description="Whose weight deltas the hypotheses are about; empty: none.")
    mode: Literal["corrected", "legacy"] = Field("corrected", description="legacy: all definitions as published.")
    switches: dict[Name, bool] = Field({}, description="Single definitions otherwise than the mode has them.")
    layer_range: tuple[Share, Share] = Field(
        (0.0, 1.0), description="Fractions of the depth, the end excluded: at these blocks bases are built."
    )
    n_prompts: Annotated[int, Field(ge=2)] = Field(16, description="Of the pairs, the first: bases are built of them.")
    n_heldout: Annotated[int, Field(ge=2)] = Field(24, description="Of split heldout, the first: labels are of them.")
    widths: Annotated[tuple[Count, ...], Field(min_length=1)] = Field((1, 2, 4, 8, 16), description="Of a basis.")
    alpha: Positive = Field(1.0, description="Dose of the delta, in units of its c_star.")
    causal: tuple[Name, ...] = Field(
        (),
        description="Whose part in every basis is read with the model, on the texts of `ablations`: weight deltas, or "
        "added directions. Empty: none.",
    )
    causal_width: Count = Field(8, description="Of these bases.")

    _unique = field_validator("methods", "causal", "widths")(unique)
    _rising = field_validator("layer_range")(rising)

    @field_validator("switches")
    @classmethod
    def _known(cls, value: dict[str, bool]) -> dict[str, bool]:
        if unknown := sorted({*value} - {*Switches.model_fields}):
            raise ValueError(f"{unknown}: there are {', '.join(Switches.model_fields)}")
        return value

    @property
    def definitions(self) -> Switches:
        """The switches of the mode, with those that are said singly."""
        return (LEGACY if self.mode == "legacy" else Switches()).model_copy(update=self.switches)
