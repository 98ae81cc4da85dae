"""The options of PEFT's families, read from its source, are those that PEFT itself has."""

import dataclasses

import peft
import pytest
from steerdose.study.methods import PEFT_TYPES
from steerdose.study.peft_options import OWN, options_of


@pytest.mark.parametrize("family", PEFT_TYPES)
def test_every_family_has_the_options_of_its_class(family):
    fields = dataclasses.fields(peft.PEFT_TYPE_TO_CONFIG_MAPPING[family])
    assert options_of(family) == {each.name for each in fields if each.init} - OWN


def test_a_family_without_a_source_is_not_judged():
    assert options_of("LORAX") is None
