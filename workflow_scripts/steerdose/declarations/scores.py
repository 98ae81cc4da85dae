"""Tables of benchmarks that a study ends in."""

from steerdose.declarations.base import Table, columns
from steerdose.declarations.shared import DOSE, N

KNOWLEDGE = Table(
    "knowledge",
    rule="tabulate_knowledge",
    path="results/tables/knowledge",
    title="Knowledge",
    row="a method and dose",
    reading="What is left of the model's knowledge of yes/no claims, read in one forward a claim and again for its "
    "negated form. A model that says 'true' to everything has an accuracy of one half, whatever it knows. Look at "
    "pmass first: where it is low, the model does not answer at all. Intervals are over claims, paired with alpha 0.",
    columns=(
        *DOSE,
        *N,
        *columns("""
        accuracy | number | share | of claims whose true form is preferred to the false one; chance is 1/2
        discrimination | number | nats | mean preference of the true form over the false one, as half a log-odds ratio
        yes_bias | number | nats | mean log-odds of 'true' over both forms
        pmass | number | share | mean mass on the two answers, of the form where it is smaller
        discrimination_change | number | nats | mean change against alpha 0
        discrimination_change_low | number | nats | its interval's lower end
        discrimination_change_high | number | nats | its interval's upper end
        yes_bias_change | number | nats | mean change against alpha 0
        yes_bias_change_low | number | nats | its interval's lower end
        yes_bias_change_high | number | nats | its interval's upper end
        """),
    ),
)
