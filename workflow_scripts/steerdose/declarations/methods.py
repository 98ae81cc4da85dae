"""Tables of methods and instruments that a study ends in."""

from steerdose.declarations.base import Table, columns
from steerdose.declarations.shared import DOSE, METHOD, MODEL, NOTE, N

METHODS = Table(
    "methods",
    rule="tabulate_methods",
    path="results/tables/methods",
    title="Methods",
    row="a method and sign, at its calibrated dose",
    reading="First look at achieved and audit beside target: where they differ much, or converged is false, alpha 1 is "
    "not the dose that it claims to be, and reason says why. Then compare s end, what is left of the model, with "
    "effect, what the steering bought. Seconds depend on the machine. An empty field is not defined for this kind of "
    "method, or the study does not roll it out at that dose.",
    columns=(
        *METHOD,
        *columns("""
        group | text | | of the method: what it is compared within and coloured by
        sign | text | | positive (dose 1) or negative (alpha -1)
        c_star | number | | coefficient of dose 1, at which the statistic of the KL meets the target
        c_star_low | number | | lower 95 % bound, over resampled calibration prompts
        c_star_high | number | | upper bound
        relative_dose | number | ratio | of c star: norm of the change over norm of the stream, behind the last edit
        evaluations | integer | | of the search for it
        statistic | text | | of the KL against the unsteered model, which sets the dose
        target | number | nats | that the statistic is to meet
        achieved | number | nats | its value on the calibration prompts, one small step before c star
        audit | number | nats | its value there on prompts that did not set the dose; empty: too strong to measure
        converged | boolean | | whether achieved is within the tolerance of the target; empty for a prompt
        reason | text | | why the search stopped
        norm | number | | of the steering at coefficient 1: Frobenius norm of a weight delta, length of a direction
        seconds | number | s | of all jobs up to the calibration, both signs, the generation of the pairs included
        s_end | number | share | Kaplan-Meier share that can still answer at the end of the window, at this dose
        effect | number | probability | mean gain of the true answer, at the forks that steered and unsteered text share
        origin | text | | where the steering comes from
        """),
    ),
)
SEEDS = Table(
    "seeds",
    rule="tabulate_methods",
    path="results/tables/seeds",
    title="Methods over seeds",
    row="a method and sign, averaged over the seeds of the study",
    reading="Read sign agreement first: an effect whose sign changes with the seed is none. With one seed there is no "
    "spread, and with two or three it is a rough guess; one of two seeds agree by construction.",
    columns=(
        *METHOD[:2],
        *METHOD[3:],
        *columns("""
        sign | text | | positive (dose 1) or negative (alpha -1)
        seeds | integer | seeds | how many
        c_star_mean | number | | mean of the coefficient of dose 1
        c_star_std | number | | its standard deviation (n - 1)
        audit_mean | number | nats | mean of the statistic on prompts that did not set the dose
        audit_std | number | nats | its standard deviation
        s_end_mean | number | share | mean share that can still answer at the end of the window
        s_end_std | number | share | its standard deviation
        effect_mean | number | probability | mean gain of the true answer
        effect_std | number | probability | its standard deviation
        effect_sign_agreement | number | share | of the seeds whose effect has the more frequent sign
        """),
    ),
)
GEOMETRY = Table(
    "geometry",
    rule="tabulate_geometry",
    path="results/tables/geometry",
    title="Geometry",
    row="a steering",
    reading="How each steering lies in weight space. P and N are the weight deltas of the positive and the negative "
    "adapter, all modules together. Cos anti near 1 means that they are opposites; a high drift ratio means that most "
    "of what they learned is shared and cancels in the difference. Norms can be compared within a group of methods "
    "only. Nothing here says what a steering does to the text. Empty: not defined for this kind of method.",
    columns=(
        *METHOD,
        *columns("""
        group | text | | of the method, within which norms can be compared
        norm_delta | number | | |P - N|, Frobenius norm
        cos_anti | number | | -cos(P, N)
        asymmetry | number | ratio | |P| / |N|
        drift_ratio | number | ratio | |P + N| / |P - N|, what both share over what tells them apart
        cos_delta_drift | number | | |cos(P - N, P + N)|
        rank | integer | | the largest of all modules; empty when some are stored whole
        n_modules | integer | modules | edited
        n_parameters | integer | numbers | stored
        stability | number | cosine | between directions fitted to halves of the prompts, mean over modules
        seed_cosine | number | cosine | with the steerings of the study's other seeds, all modules together, mean
        """),
    ),
)
PROBES = Table(
    "probes",
    rule="tabulate_probes",
    path="results/tables/probes",
    title="Probes",
    row="a probe, on the unsteered model over all questions and forks, and on steered trajectories where it is read",
    reading="Read the median of pmass first, then the minimum and the threshold: a minimum below the threshold means "
    "that the unsteered model itself dies at some fork. Then the deaths. If probes disagree on who dies and when, a "
    "probe is broken; if they agree, the model is. Deaths by readout are those where the unsteered model could still "
    "answer behind the same text, told only where splits is true: a probe whose auc is near 1/2 answers behind "
    "garbage too. Where nobody dies by either of two probes their agreement is empty. An accuracy whose interval holds "
    "1/2 says that the answers may be guesses: the probe reads whether the model answers, not whether it is right.",
    columns=(
        *MODEL,
        *columns("""
        probe | text | | a key of probes
        n_questions | integer | questions | that it was read on
        n_forks | integer | forks | that it was read at
        median_pmass | number | probability | next-token mass on the two answers
        min_pmass | number | probability | the smallest
        q05_pmass | number | probability | 5th percentile
        q25_pmass | number | probability | 25th percentile
        q75_pmass | number | probability | 75th percentile
        pmass_at_0 | number | probability | median at fork 0
        argmax_share | number | share | of forks whose most likely next token is an answer
        accuracy | number | share | of forks where the answer leans to the truth
        accuracy_low | number | share | lower bound (95 %, by prompt); where it is below 1/2 the answers may be guesses
        accuracy_high | number | share | upper bound
        lean | number | share | of forks where the first answer is the likelier one
        truths | number | share | of questions whose right answer is the first one
        auc | number | probability | of more pmass behind a text of the model than behind garbage made of it; 1/2: blind
        auc_low | number | probability | lower bound (95 %, over prompts)
        auc_high | number | probability | upper bound
        auc_{garbage} | number | probability | the same against one kind of garbage
        splits | boolean | | whether garbage moves it enough to tell damage of the text from damage of the readout
        continues | number | share | of prompts behind which it is answered, with one answer and not both
        passes | boolean | | whether the median reaches survival.minimum_base_pmass
        rolled_out | boolean | | whether it is read in rollouts
        decides | boolean | | whether it sets the lifetimes
        threshold | number | probability | of death by this probe
        trajectories | integer | trajectories | steered ones
        died | integer | trajectories | by this probe
        readout | integer | trajectories | of these by damage of the readout
        text | integer | trajectories | of these by damage of the text
        same_fork_{probe} | number | share | of those that die by this or the named probe: by both, at the same fork
        """),
    ),
)
DELIVERED_KL = Table(
    "delivered_kl",
    rule="tabulate_delivered_kl",
    path="results/tables/delivered_kl",
    title="Delivered KL",
    row="a method and dose",
    reading="How far each dose moved the model on the study's own questions. The dose is calibrated on other prompts "
    "and on short texts; where p95 at alpha 1 is far from the target, or differs between methods, equal alpha is not "
    "equal KL here. Both numbers are medians over trajectories of the statistic of one trajectory's tokens.",
    columns=(
        *DOSE,
        *N,
        *columns("""
        mean | number | nats | mean over the tokens of a trajectory
        p95 | number | nats | 95th percentile over the tokens of a trajectory
        p95_low | number | nats | lower confidence bound, over resampled prompts
        p95_high | number | nats | upper confidence bound
        """),
    ),
)
AGGREGATION = Table(
    "aggregation",
    rule="tabulate_aggregation",
    path="results/tables/aggregation",
    title="Aggregation",
    row="a statistic of the KL along a text",
    reading="Which statistic of per-token KL sees what breaks a model. Ratio is from two simulated students: by which "
    "factor the statistic tells a token loop from a harmless shift. Auc is from this study: how often a text that dies "
    "has the higher value than one that lives on, over as many tokens and at a mean KL within a factor of 1.25; 0.5 "
    "says nothing beyond the mean. Read its interval, from resampled prompts, and the note, which counts the deaths "
    "that could be compared; with few of them the table gives no estimate.",
    columns=(
        *columns("""
        statistic | text | | of per-token KL
        broad | number | nats | of a simulated student with a small shift at all of 60 positions
        loop | number | nats | of one that equals the base but for four positions of a token loop
        ratio | number | ratio | loop over broad
        auc | number | probability | that a trajectory that dies has the higher value
        auc_low | number | probability | lower bound of its interval
        auc_high | number | probability | upper bound
        share_best | number | share | of the resamples in which it has the highest auc
        deaths | integer | trajectories | steered ones that died
        deaths_at_0 | integer | trajectories | of these at fork 0, before any KL
        matched_deaths | integer | trajectories | of these with a survivor of equal mean KL
        pairs | integer | pairs | of a death and such a survivor
        """),
        *NOTE,
    ),
)
