"""The JSON schema of a config, for editors: what the typed study says of its keys."""

import json
from typing import Any

from pydantic.json_schema import GenerateJsonSchema

from steerdose.study.config import Study
from steerdose.study.estimators import ESTIMATORS


class _Plain(GenerateJsonSchema):
    """Without the titles that only repeat the keys; names that do not match their pattern are refused."""

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ARG002
        return False

    def dict_schema(self, schema: Any) -> dict[str, Any]:
        found = super().dict_schema(schema)
        return {**found, "additionalProperties": False} if "patternProperties" in found else found


def config_schema() -> dict[str, Any]:
    """Return the schema of config.yaml; the options of an activation method are those of its estimator."""
    schema = Study.model_json_schema(schema_generator=_Plain)
    schema["$defs"]["Activation"]["allOf"] = [
        {
            "if": {"properties": {"estimator": {"const": name}}},
            "then": {"properties": {"options": options.model_json_schema(schema_generator=_Plain)}},
        }
        for name, options in ESTIMATORS.items()
    ]
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def schema_text() -> str:
    """Return what workflow_scripts/schemas/config.schema.json holds."""
    return json.dumps(config_schema(), indent=1) + "\n"
