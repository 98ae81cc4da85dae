"""How bases of subspaces are defined: as corrected here, or as they were published, switch by switch."""

from pydantic import Field

from steerdose.study.base import Part


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
    exact_delta=False, checked_rank=False, balanced=False, refilled=False, same_block=False,
    measured_sink=False, turned_features=False,
)  # fmt: skip
