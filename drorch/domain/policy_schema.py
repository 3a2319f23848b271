"""The JSON Schema of policy files, for editors and for checks outside drorch."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, create_model

from drorch.domain.policy_form import DUMP_ONLY, NATIVE_ONLY, PolicyForm, ResourceForm, TargetForm
from drorch.domain.vocabulary import Vocabulary


def json_schema(vocabulary: Vocabulary) -> dict[str, Any]:
    """JSON Schema (2020-12) of a policy file; `resources` are told apart by their `kind`.

    What a schema cannot say (unknown names, promises that cannot be kept) only `policy check` finds.
    """
    resources = [_resource(kind, vocabulary) for kind in sorted(vocabulary.kinds)]
    schema = PolicyForm.model_json_schema(ref_template="#/$defs/{model}")
    definitions: dict[str, Any] = schema.setdefault("$defs", {})
    references: dict[str, str] = {}
    for kind, model in zip(sorted(vocabulary.kinds), resources, strict=True):
        one = model.model_json_schema(ref_template="#/$defs/{model}")
        definitions.update({name: body for name, body in one.pop("$defs", {}).items() if name not in definitions})
        definitions[f"resource-{kind}"] = one
        references[kind] = f"#/$defs/resource-{kind}"
    schema["properties"]["resources"]["items"] = {
        "oneOf": [{"$ref": reference} for reference in references.values()],
        "discriminator": {"propertyName": "kind", "mapping": references},
    }
    _map_regions(definitions, vocabulary)
    schema["properties"]["version"] = {"const": 1}
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["title"] = "drorch policy: one application"
    return schema


def _map_regions(definitions: dict[str, Any], vocabulary: Vocabulary) -> None:
    """What a region maps a resource to is what its kind takes; the schema cannot tell which kind that is."""
    models = {kind: words.restore for kind, words in sorted(vocabulary.kinds.items()) if words.restore is not None}
    for kind, model in models.items():
        one = model.model_json_schema(ref_template="#/$defs/{model}")
        definitions.update({name: body for name, body in one.pop("$defs", {}).items() if name not in definitions})
        definitions[f"restore-{kind}"] = one
    if models:
        mapped = definitions["RecoveryForm"]["properties"]["regions"]["additionalProperties"]
        options = {"anyOf": [{"$ref": f"#/$defs/restore-{kind}"} for kind in models]}
        mapped["patternProperties"] = dict.fromkeys(mapped["patternProperties"], options)


def _resource(kind: str, vocabulary: Vocabulary) -> type[BaseModel]:
    """A model of one kind's resources: the common keys that it takes, and its own."""
    words = vocabulary.kinds[kind]
    left_out = DUMP_ONLY if words.native else NATIVE_ONLY
    fields: dict[str, Any] = {
        name: (item.annotation, item) for name, item in ResourceForm.model_fields.items() if name not in left_out
    }
    fields["kind"] = (Literal[kind], ...)
    if not words.native:
        fields["vaults"] = (list[str | TargetForm], Field(min_length=1))
    fields.update({name: (item.annotation, item) for name, item in words.options.model_fields.items()})
    return create_model(f"Resource_{kind}", __config__=ConfigDict(extra="forbid"), **fields)
