"""Tables of what the steering bought and what it cost."""

from steerdose.declarations.base import Table, columns
from steerdose.declarations.shared import ALPHA, METHOD, SIGN

_MEASURE = columns("""
    task | text | | a key of tasks
    measure | text | | what of it; a task of two answers may have several, of some of its forms each
""")
_EFFECT = columns("""
    effect | number | as measure | change against alpha 0; of two answers that by label, free of a lean to one answer
    effect_low | number | as measure | lower bound, over resampled clusters of items
    effect_high | number | as measure | upper bound
""")
EFFECTS = Table(
    "effects",
    rule="tabulate_effects",
    path="results/tables/effects",
    title="Effects",
    row="a task, measure, method and dose",
    reading="What a dose changes. Every item is compared with itself under the unsteered model, all methods on the "
    "same items. First look whether there is an answer at all: pmass, answered, and of what was written broken. Then "
    "the effect with its interval: of tasks with two answers the change of log-odds toward the answer that shows the "
    "behavior, after a lean to yes (yes shift) or to the first letter (order shift) is taken out. Flips count the "
    "questions whose answer changed sides, both ways. q corrects for the many methods and doses. Where the effect is "
    "smaller than detectable, a study of this size would have missed it more often than once in five.",
    columns=(
        *METHOD,
        *_MEASURE,
        *ALPHA,
        *columns("""
        n | integer | clusters | of items that are compared
        level | number | as measure | mean at this dose; of two answers log-odds toward the one that shows the behavior
        """),
        *_EFFECT,
        *columns("""
        mean_shift | number | as measure | mean change; of two answers toward that which shows the behavior, lean or not
        mean_shift_low | number | as measure | lower bound
        mean_shift_high | number | as measure | upper bound
        yes_shift | number | nats | change of log-odds of the first answer whatever it says, in forms with words
        yes_shift_low | number | nats | lower bound
        yes_shift_high | number | nats | upper bound
        order_shift | number | nats | change of log-odds of the first letter, in forms with letters
        order_shift_low | number | nats | lower bound
        order_shift_high | number | nats | upper bound
        p | number | probability | of no effect
        q | number | probability | the same, corrected over methods and doses of a cell (Benjamini and Hochberg)
        detectable | number | as measure | effect that would have been found in 80 % of studies of this size
        pmass | number | probability | mean mass on the two answers
        answered | number | share | of rows whose likeliest next token is an answer
        broken | number | share | of texts that were written and are broken; no change of valence is counted of these
        flips_for | integer | rows | that come to show the behavior
        flips_against | integer | rows | that cease to
        si | number | | surgical informedness of the doses alpha and -alpha, for comparison alone: it rewards no answers
        """),
    ),
)
SPECIFICITY = Table(
    "specificity",
    rule="tabulate_specificity",
    path="results/tables/specificity",
    title="Specificity",
    row="a task, measure, method, dose and control",
    reading="Is it the direction, or would any push as strong do the same? A control pushes at random; its effect is "
    "read at the KL that the method's dose delivered, straight between the control's doses. A share near 0 says that "
    "the effect belongs to the direction, near 1 that noise of this size has it too. Tasks that have nothing to do "
    "with the behavior are traits that were not trained: an effect there is a side effect. Empty shares: the method's "
    "own effect cannot be told from 0.",
    columns=(
        *METHOD,
        *_MEASURE,
        *ALPHA,
        *columns("""
        control | text | | a method that pushes at random
        kl | number | nats | median p95 that the method's dose delivered on the study's questions
        """),
        *_EFFECT[:1],
        *columns("""
        control_effect | number | as measure | of the control at that KL
        control_effect_low | number | as measure | lower bound
        control_effect_high | number | as measure | upper bound
        share | number | ratio | control's effect over the method's
        share_low | number | ratio | lower bound
        share_high | number | ratio | upper bound
        """),
    ),
)
CONTRASTS = Table(
    "contrasts",
    rule="tabulate_contrasts",
    path="results/tables/contrasts",
    title="Contrasts",
    row="a method against nothing, and a pair of methods, over all seeds",
    reading="Does one method buy more than another? Each at its own recommended dose, or doing nothing where none is "
    "recommended; a prompt as it is. The same items and seeds are resampled for both. Rows against nothing are what a "
    "method buys over all seeds. Agreeing counts the seeds that have the commoner sign: of three seeds two always "
    "agree, and all three do by chance in one study of four. Doses were recommended on the items that they are judged "
    "on, so effects are flattered, and a method with many doses more than a prompt, which has one.",
    columns=(
        *columns("""
        model | text | | a key of models
        behavior | text | | a key of behaviors
        sign | text | | positive or negative
        benefit | text | | task and measure
        method | text | | a method of the study
        against | text | | another one; empty: the unsteered model
        seeds | integer | | adapters and pairs that are averaged
        n | integer | clusters | of items that are resampled
        """),
        *_EFFECT,
        *columns("""
        p | number | probability | of no difference
        q | number | probability | the same, corrected over the rows of a model, behavior and sign
        detectable | number | as measure | difference that would have been found in 80 % of studies of this size
        agreeing | integer | seeds | of the commoner sign
        by_chance | number | probability | of so many agreeing, if each sign were a coin
        """),
    ),
)
CLAIMS = Table(
    "claims",
    rule="tabulate_claims",
    path="results/tables/claims",
    title="Claims",
    row="a rule of a model, behavior and sign",
    reading="What this study may claim, by rules that were set beforehand. Prompting that does as much is the simpler "
    "means. Activation steering that does as much leaves weight steering to find another reason. What a random push "
    "buys too is no property of a direction. An order of adapter families is published only where every step is "
    "decided and holds in every one of several seeds. Numbers are those of the table of contrasts.",
    columns=columns("""
    model | text | | a key of models; empty: over models
    behavior | text | | a key of behaviors
    sign | text | | positive or negative
    rule | text | | what is asked
    verdict | text | | the answer
    sentence | text | | the answer with its numbers
    """),
)
EFFECT_CURVES = Table(
    "effect_curves",
    rule="tabulate_dose",
    path="results/tables/effect_curves.parquet",
    row="a dose of a method and sign, 0 among them",
    columns=(
        *METHOD,
        *SIGN,
        *columns("""
        benefit | text | | task and measure of the benefit
        dose | number | dose | |alpha|
        effect | number | as measure | toward the sign: above 0 is what was intended
        effect_low | number | as measure | lower bound
        effect_high | number | as measure | upper bound
        fitted | number | as measure | rising (isotonic) fit up to the largest effect that survives; null beyond
        """),
    ),
)
RECOMMENDED = Table(
    "dose",
    rule="tabulate_dose",
    path="results/tables/dose",
    title="Dose",
    row="a method and sign",
    reading="Which dose to take. Recommended is, of the doses at which the effect on the benefit's task is shown "
    "(its interval excludes 0 and its q is small) and which are safe (a bound on texts that break), the one whose "
    "effect has the highest lower bound. It was picked on the items that it is judged on, so its effect is "
    "flattered; effect_heldout is what the dose that one half of the items picks does on the other half, the mean "
    "over splits. Effects point toward the sign. ED50 is the dose of half the largest effect among doses at which at "
    "most half of the texts break; the index is LD50 over ED50, the margin the safe dose over the smallest dose with "
    "an effect. Where nothing is shown the sentence says so, and what this study could have found.",
    columns=(
        *METHOD,
        *SIGN,
        *columns("""
        verdict | text | | recommended; or no effect shown, no safe dose, prompt is as good, a control, not measured
        alpha | number | dose | recommended
        coefficient | number | | recommended, that scales the steering
        benefit | text | | task and measure that it is judged by
        """),
        *_EFFECT,
        *columns("""
        effect_heldout | number | as measure | on items that did not pick the dose
        dead | number | share | of texts that break by the window at this dose
        dead_high | number | share | upper bound
        change_{damage} | number | as measure | effect of the dose on a task of damage
        index | number | ratio | LD50 / ED50, the therapeutic index
        index_low | number | ratio | lower bound; null: open
        index_high | number | ratio | upper bound; null: open
        ed50 | number | dose | of half the largest effect that survives
        ed50_low | number | dose | lower bound; null: open
        ed50_high | number | dose | upper bound; null: open
        minimal_dose | number | dose | smallest tried whose effect is shown
        ld50 | number | dose | at which half of the texts break; null: outside the doses tried
        safe_dose | number | dose | largest at which the bound on texts that break is met
        margin | number | ratio | safe dose / smallest dose with an effect
        share | number | ratio | of the effect that a random push of the same KL has too
        share_low | number | ratio | lower bound
        share_high | number | ratio | upper bound
        prompt | text | | of the same sign, with the largest effect
        prompt_effect | number | as measure | its effect, toward the sign
        over_prompt | number | as measure | by how much the dose's effect exceeds it, on the same items
        over_prompt_low | number | as measure | lower bound
        over_prompt_high | number | as measure | upper bound
        detectable | number | as measure | effect that would have been found in 80 % of studies of this size
        sentence | text | | all of it in words
        """),
    ),
    shown=(
        *METHOD,
        *SIGN,
        *columns("""
        verdict | text | | recommended; or no effect shown, no safe dose, prompt is as good, a control, not measured
        alpha | number | dose | recommended
        coefficient | number | | recommended, that scales the steering
        effect | text | as measure | toward the sign, with its interval
        held out | number | as measure | on items that did not pick the dose
        broken | text | share | of texts that break by the window, and its upper bound
        index | text | ratio | LD50 / ED50, the therapeutic index, with its interval
        margin | number | ratio | safe dose / smallest dose with an effect
        {damage} | text | as measure | effect of the dose on a task of damage, with its interval
        random | text | ratio | share of the effect that a random push of the same KL has too
        over prompt | text | as measure | by how much the effect exceeds that of the best prompt
        sentence | text | | all of it in words
        """),
    ),
)
