"""Targets that no rule makes."""

from types import SimpleNamespace

import pytest
from snakemake.cli import parse_args
from steerdose.flow.targets import LOOKS, Asked, asked, nearest_targets

KNOWN = ["results/figs/survival.png", "results/figs/spaghetti.png", "results/tables/methods.csv"]


def rule(name, *files):
    return SimpleNamespace(name=name, is_producer=lambda target: target in files)


def lines(*targets):
    rules = [rule("plot_survival", KNOWN[0]), rule("plot_spaghetti", KNOWN[1]), rule("all")]
    return nearest_targets(rules, targets, KNOWN, ["simple_prompt"]).splitlines()


def test_rules_and_what_they_make_are_fine(tmp_path):
    (tmp_path / "there").write_text("")
    assert lines("all", "plot_survival", KNOWN[0], str(tmp_path / "there")) == []
    assert lines() == []


@pytest.mark.parametrize(
    ("target", "near"),
    [
        ("results/figs/surviwal.png", "results/figs/survival.png"),
        ("plot_survivel", "plot_survival"),
        ("results/table/methods.csv", "results/tables/methods.csv"),
    ],
)
def test_a_target_that_is_close_to_one_gets_its_name(target, near):
    (line,) = lines(target)
    assert line.startswith(f"no rule makes '{target}'; did you mean {near}")


def test_what_is_close_to_nothing_gets_the_way_to_the_list():
    assert lines("qqq") == ["no rule makes 'qqq'; `snakemake --list` shows the rules"]


def test_a_prompt_to_export_is_told_why_there_is_none():
    target = "results/export/m.b.seed0.simple_prompt.alpha1/card.md"
    (line,) = lines(target)
    assert line.startswith(f"{target}: 'simple_prompt' is a prompt and has no coefficient to export")
    assert lines(target.replace("simple_prompt", "lora"))[0].startswith("no rule makes ")


def test_every_unknown_target_gets_a_line():
    assert len(lines("qqq", "www", "plot_survival")) == 2


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("--cores 1 -n", Asked("plan")),
        ("--cores 1 -n a.png b.csv", Asked("plan", ("a.png", "b.csv"))),
        ("--cores 1 --resources gpu=1 -- a.png", Asked("run", ("a.png",))),
        ("--configfile mine.yaml --cores 1 all", Asked("run", ("all",))),
        ("--cores 1 --target-jobs plot_survival: -- a.png", Asked("look")),
        ("--lint", Asked("look")),
        ("--unlock", Asked("look")),
        ("--cores 1 --dag dot -- a.png", Asked("look", ("a.png",))),
        ("--cores 1 --report page.html -- all", Asked("look", ("all",))),
        ("--cores 1 --touch", Asked("look")),
        ("--cores 1 --cleanup-metadata a.png", Asked("look")),
    ],
)
@pytest.mark.parametrize("program", ["/bin/snakemake", "/lib/site-packages/snakemake/__main__.py"])
def test_the_command_line_says_what_is_asked_for(program, line, found):
    assert asked([program, *line.split()]) == found


def test_the_command_line_of_another_program_asks_for_nothing():
    assert asked(["/lib/site-packages/pytest/__main__.py", "a.png", "--no-such-option"]) == Asked("look")


def test_snakemake_knows_every_way_to_look():
    assert set(LOOKS) <= set(vars(parse_args(["--cores", "1"])[1]))
