"""Where an effect is: planted places are named, an even spread is called so, and noise is left undecided."""

import ablation_examples as examples
import pytest
from steerdose.ablation.claims import LOCALISED, NEGATIVE, NOTHING, SHARED, SPREAD, TWICE, UNDECIDED, claims
from steerdose.ablation.places import WHOLE_PLACE

LAYERS = {f"_{i}": (1 / 12, 11 / 12) for i in range(9, 21)}


def verdicts(planted, seeds=3, **more):
    rows = list(examples.table(planted, **more).values())
    return {claim["question"]: claim["verdict"] for claim in claims(rows, seeds)}


@pytest.mark.parametrize(
    ("parts", "verdict"),
    [
        ({"early": (0.95, 0.05), "middle": (0.05, 0.95), "late": (0.0, 1.0)}, f"{LOCALISED} in early"),
        ({"early": (0.33, 0.67), "middle": (0.33, 0.67), "late": (0.33, 0.67)}, SPREAD),
        ({"early": (0.95, 0.97), "middle": (0.93, 0.96), "late": (0.1, 0.99)}, TWICE),
        ({"early": (0.95, 0.98), "middle": (0.1, 0.97), "late": (0.1, 0.99)}, TWICE),
        ({"early": (0.6, 0.1), "middle": (0.2, 0.9), "late": (0.1, 0.9)}, UNDECIDED),
    ],
)
def test_thirds(parts, verdict):
    assert verdicts(examples.sides("third", **parts))["thirds of the layers"] == verdict


def test_one_layer_is_found_among_twelve_and_an_even_spread_is_called_distributed():
    assert verdicts(examples.sides("layer", **LAYERS))["layers"] == SPREAD
    one = dict.fromkeys(LAYERS, (0.02, 0.99)) | {"_14": (0.93, 0.08)}
    assert verdicts(examples.sides("layer", **one))["layers"] == f"{LOCALISED} in 14"


def test_both_halves_doing_all_is_non_identifiable():
    both = examples.sides("role", writers=(0.95, 0.94), readers=(0.94, 0.95), attention=(0.5, 0.5), mlp=(0.5, 0.5))
    found = verdicts(both)
    assert found["writers and readers"] == TWICE
    assert found["attention and MLP"] == SPREAD


@pytest.mark.parametrize(
    ("inside", "outside", "verdict"),
    [(0.95, 0.05, SHARED), (0.05, 0.95, NEGATIVE), (0.95, 0.95, TWICE), (0.5, 0.5, UNDECIDED)],
)
def test_a_subspace_by_what_is_kept_inside_and_outside(inside, outside, verdict):
    """Of what writes, which here has 60 % of the whole's effect: a subspace of it cannot keep more of the whole."""
    planted = examples.sides("role", writers=(0.6, 0.5), readers=(0.5, 0.6))
    for width, (kept, left) in {"8": (0.3, 0.7), "32": (inside, outside)}.items():
        planted |= {("shared", width, "keep", "coefficient"): 0.6 * kept}
        planted |= {("shared", width, "drop", "coefficient"): 1 - 0.5 * kept}
        planted |= {("shared", width, "rest", "coefficient"): 0.6 * left}
    planted |= {("random_basis", "32", "keep", "coefficient"): 0.05}
    rows = examples.table(planted, noise=0.03)
    (claim,) = [each for each in claims(list(rows.values()), 3) if each["question"].endswith("write (32)")]
    assert claim["verdict"] == verdict
    assert "a random one as wide keeps" in claim["sentence"]
    assert claim["sentence"].endswith("of the effect of all that writes to the residual stream.")
    row = rows["shared", "32", "keep", "coefficient"]
    assert row["within"] == pytest.approx(inside, abs=0.08)
    assert row["within_low"] <= row["within"] <= row["within_high"]
    assert "within" not in rows["shared", "32", "drop", "coefficient"]


def test_leading_directions_of_the_base_weights_are_held_against_the_whole():
    assert verdicts(examples.sides("base", _8=(0.02, 0.98)))["leading directions of the base weights (8)"] == NEGATIVE


def test_the_lowest_rank_that_is_enough_and_random_copies():
    ranks = examples.sides("rank", _1=(0.2, 0.8), _2=(0.5, 0.5), _4=(0.97, 0.1), _8=(1.0, 0.0))
    copies = {("random", str(i), "keep", "coefficient"): 0.02 for i in range(4)}
    found = verdicts(ranks | copies)
    assert found["rank"] == "rank 4 is enough"
    assert found["a random push of the same norms"] == "the directions matter"
    loud = verdicts(dict.fromkeys(copies, 0.95))
    assert loud["a random push of the same norms"] == "any push does it"


def test_noise_decides_nothing_and_no_effect_makes_no_claim():
    noisy = examples.sides("third", early=(0.9, 0.2), middle=(0.1, 0.8), late=(0.1, 0.8))
    assert verdicts(noisy, noise=3.0, n=6).get("thirds of the layers", UNDECIDED) == UNDECIDED
    silent = verdicts(dict.fromkeys((*noisy, WHOLE_PLACE), 0.0))
    assert silent == {"the whole": NOTHING}


def test_one_seed_alone_makes_no_claim():
    rows = list(examples.table(examples.sides("third", early=(0.95, 0.05), late=(0.05, 0.95))).values())
    (claim,) = claims(rows, 1)
    assert claim["sentence"].endswith("One seed alone says so: no claim.")
    (claim,) = claims(rows, 3)
    assert claim["sentence"].startswith("early alone keeps 9")
    assert "no claim" not in claim["sentence"]
