"""The table of what the jobs took."""

from steerdose.declarations.base import Table, columns

COST = Table(
    "cost",
    rule="write_provenance",
    path="results/tables/cost",
    title="Cost",
    row="a rule and method: all its jobs whose results are there, slowest first",
    reading="Read share first: it says which rules and methods the time went to. All numbers are of this machine and "
    "of the last run of each job, its start and the loading of the model included; a rerun that kept most of its rows "
    "looks cheap. An adapter's signs and the parts of the prompts are added up. Jobs that run at once share the "
    "machine, so that seconds add up to more than the time on the clock. Rules of tables and figures are not listed.",
    columns=(
        *columns("""
        rule | text | | whose jobs these are
        model | text | | a key of models
        behavior | text | | a key of data.personas; empty: of none
        seed | integer | | of all that is drawn; empty: of none
        method | text | | a method, an entry of methods, or a job of several members of one; empty: of none
        jobs | integer | jobs | how many
        seconds | number | s | from start to end, added up
        share | number | share | of the seconds of all rows
        gib | number | GiB | the most memory that one of them held
        tokens | integer | tokens | given to the model, padding included; empty: it was not run
        tokens_per_second | number | tokens/s | over all seconds
        """),
    ),
)
