"""Sentences on doses, as a reader quotes them."""

from steerdose.benefit.sentences import sentence

ROW = {
    **{"method": "m", "sign": "negative", "benefit": "mood.valence", "verdict": "recommended"},
    **{"alpha": -1.0, "coefficient": -41.84, "effect": 0.425, "effect_low": 0.307, "effect_high": 0.549},
    **{
        "dead": 0.167,
        "dead_high": 0.37,
        "index": 4.7,
        "index_low": 2.46,
        "index_high": None,
        "share": 0.15,
        "share_low": 0.0,
        "share_high": 0.29,
    },
    **{"minimal_dose": 0.5, "safe_dose": 1.0, "detectable": 0.1},
    **{"change_t": -0.3, "change_t_low": -0.4, "change_t_high": -0.2},
    **{"change_k": 0.0, "change_k_low": -0.1, "change_k_high": 0.1},
    **{"prompt": "simple", "prompt_effect": 0.5},
}


def said(**changes):
    return sentence(ROW | changes, ["change_t", "change_k"], 0.95)


def test_a_recommended_dose_is_told_whole():
    assert said() == (
        "m (negative): at coefficient -41.84 (dose 1) mood.valence moves by 0.425 toward the negative side (95% "
        "interval 0.307 to 0.549); 17% of texts break by the window (at most 37%); t changes by -0.3 (-0.4 to -0.2); "
        "no change of k is shown (-0.1 to 0.1); the therapeutic index is 4.7 (2.5 to open); a random push of the same "
        "KL has 15% (0% to 29%) of the effect."
    )


def test_what_is_not_shown_is_said_with_what_could_have_been_found():
    assert said(verdict="no effect shown") == (
        "m (negative): no effect on mood.valence was shown at any dose at which half of the texts survive; one of 0.1 "
        "would mostly have been found."
    )
    assert "was not measured" in said(verdict="not measured")
    assert said(verdict="no safe dose", safe_dose=None).endswith("no dose at which it shows is safe (safe: none).")


def test_a_prompt_that_does_as_much_and_a_control_are_named():
    assert said(verdict="prompt is as good").endswith("the prompt is the simpler means.")
    assert "pushes at random" in said(verdict="a control")
    assert "index is above 2.5" in said(index=None)
