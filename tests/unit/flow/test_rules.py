"""Every rule, its entry script and the function of the library that it calls agree in their names."""

import ast
import os
import re
from pathlib import Path

import pytest
from snakemake.api import SnakemakeApi
from snakemake.settings.types import OutputSettings, Quietness, ResourceSettings
from steerdose.study import published, settings
from steerdose.study.config import Model

ROOT = Path(__file__).parents[3]
SCRIPTS = ROOT / "workflow_scripts"
FORM = re.compile(
    r'"""[^"\n]+\."""\n\nfrom steerdose\.flow\.jobs import open_job\n\nwith open_job\(snakemake\) as job:\n'
    r"    from steerdose\.([\w.]+) import (\w+)\n\n    job\.run\((\w+)\)\n"
)
NAMES = sorted(path.stem for path in SCRIPTS.glob("*.py"))


@pytest.fixture(scope="module")
def rules():
    """The rules of the workflow by name, as snakemake reads them."""
    where = Path.cwd()
    os.chdir(ROOT)
    try:
        with SnakemakeApi(OutputSettings(quiet={Quietness.ALL})) as api:
            workflow = api.workflow(resource_settings=ResourceSettings(cores=1), snakefile=ROOT / "Snakefile")._workflow
            yield {rule.name: rule for rule in workflow.rules if rule.name not in ("all", "speed")}
    finally:
        os.chdir(where)


def function_of(name):
    """The definition of the function that an entry script calls."""
    module = FORM.fullmatch((SCRIPTS / f"{name}.py").read_text())[1]
    tree = ast.parse((SCRIPTS / "steerdose" / f"{module.replace('.', '/')}.py").read_text())
    return next(node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == name)


@pytest.mark.parametrize("name", NAMES)
def test_an_entry_script_has_the_form_of_all(name):
    text = (SCRIPTS / f"{name}.py").read_text()
    found = FORM.fullmatch(text)
    assert found, text
    assert found[2] == found[3] == name


def test_every_rule_has_a_script_of_its_name_and_every_script_a_rule(rules):
    assert sorted(rules) == NAMES
    for name, rule in rules.items():
        assert Path(rule.script).name == f"{name}.py"


@pytest.mark.parametrize("name", NAMES)
def test_a_function_asks_for_what_its_rule_offers_and_writes_all_that_it_promises(rules, name):
    rule, function = rules[name], function_of(name)
    assert not function.args.args, "arguments go by name"
    assert function.returns.value is None, "it returns nothing"
    wanted = {argument.arg: ast.unparse(argument.annotation) for argument in function.args.kwonlyargs}
    inputs, outputs, params = ({*part.keys()} for part in (rule.input, rule.output, rule.params))
    offered = {*inputs, *outputs, *params, *rule.wildcard_names, "cell"}
    assert set(wanted) <= offered, "what it asks for and the rule has not"
    assert outputs <= set(wanted), "outputs that nobody writes"
    assert len(outputs) == len(rule.output), "outputs have names"
    assert inputs.isdisjoint(outputs), "a name for an input and an output"
    assert {"settings", "cell", "code"}.isdisjoint(inputs | outputs)


@pytest.mark.parametrize("name", NAMES)
def test_settings_are_of_the_type_that_the_function_takes(rules, name):
    given = dict(rules[name].params.items()).get("settings")
    taken = {each.arg: ast.unparse(each.annotation) for each in function_of(name).args.kwonlyargs}.get("settings")
    assert (given is None) == (taken is None), "settings that are given and not taken, or taken and not given"
    if taken is None:
        return
    kind = {**vars(settings), **vars(published), "Model": Model}[taken]
    if isinstance(given, str):
        assert kind.parse(given).text() == given
    else:
        assert taken in ("Model", "".join(part.title() for part in given.__name__.split("_")))


@pytest.mark.parametrize("name", NAMES)
def test_a_rule_depends_on_its_code(rules, name):
    assert "code" in rules[name].params.keys(), name  # noqa: SIM118
