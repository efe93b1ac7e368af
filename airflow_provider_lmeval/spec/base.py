"""What every spec model shares: frozen, no unknown fields, documented fields, no secret in plain sight."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, GetJsonSchemaHandler, JsonValue, StringConstraints, model_validator
from pydantic_core import CoreSchema

from airflow_provider_lmeval.spec.docs import field_docs

EnvName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,127}$")]
"""Name of an environment variable (POSIX: letters, digits, underscore, not starting with a digit)."""

SECRET_NAMES = frozenset(
    {"access_token", "api_key", "apikey", "auth_token", "authorization", "hf_token", "password", "secret", "token"}
)
"""Argument names whose value is a credential: only a reference to an environment variable may stand there."""
_SECRET_ENV = re.compile(r"(TOKEN|PASSWORD|SECRET|API_?KEY|CREDENTIALS)$", re.IGNORECASE)


class SpecModel(BaseModel):
    """Base of all spec models: immutable, unknown fields refused, a string under each field is its documentation.

    Validators are built when a model is first used: whoever imports a DAG file uses few of the models it can reach.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, allow_inf_nan=False, defer_build=True)

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """Describe the fields in the JSON schema, and so in the trigger form, with the strings under them."""
        schema = handler(core_schema)
        properties = handler.resolve_ref_schema(schema).get("properties", {})
        for name, text in field_docs(cls).items():
            if name in properties:
                properties[name].setdefault("description", text)
        return schema


class EnvRef(SpecModel):
    """A secret by reference: the name of an environment variable of the run, never its value.

    In Airflow's own process the name must be in ``[lmeval] allowed_env``; in Kubernetes a Secret provides it.
    """

    env: EnvName
    """Name of the environment variable that holds the value."""


EnvValue = Annotated[str | EnvRef, Field(union_mode="left_to_right")]
"""A literal value, or a reference to one."""


def strings(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Yield every string in JSON-like data with the path that leads to it, mapping keys included.

    :param value: nested mappings, sequences and scalars.
    :param path: where ``value`` itself stands, for messages.
    """
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from strings(key, f"{path}.{key!r} (name)")
            yield from strings(item, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from strings(item, f"{path}[{index}]")


def check_text(value: Any) -> None:
    """Refuse text that no program argument, file or JSON reader can carry.

    :raises ValueError: a NUL character or a lone surrogate, with the path of the field.
    """
    for path, text in strings(value):
        if "\x00" in text:
            raise ValueError(f"{path}: contains a NUL character; remove it")
        try:
            text.encode("utf-8")
        except UnicodeEncodeError:
            raise ValueError(f"{path}: contains a lone surrogate, which is not valid Unicode text; remove it") from None


class DocumentModel(SpecModel):
    """Base of what people write as a document of its own: refuses text in it that nothing could carry further."""

    @model_validator(mode="before")
    @classmethod
    def _check_text(cls, data: Any) -> Any:
        if isinstance(data, Mapping):
            check_text(data)
        return data


def check_no_literal_secret(args: Mapping[str, JsonValue], path: str) -> None:
    """Refuse a credential written into the spec: it would be stored with every run and shown in the UI.

    :param args: model arguments or request headers.
    :param path: their place in the spec, for the message.
    :raises ValueError: naming the argument and the way to pass it.
    """
    for name, value in args.items():
        if isinstance(value, str) and name.lower().replace("-", "_") in SECRET_NAMES:
            raise ValueError(
                f"{path}.{name}: credentials are not written into a spec; use {{'env': 'NAME_OF_VARIABLE'}} and have the "
                "administrator add the name to [lmeval] allowed_env"
            )


def check_no_literal_secret_env(env: Mapping[str, Any]) -> None:
    """Refuse environment variables that look like credentials and carry a literal value.

    :raises ValueError: naming the variable and the way to pass it.
    """
    for name, value in env.items():
        if isinstance(value, str) and value and _SECRET_ENV.search(name):
            raise ValueError(f"env.{name}: looks like a credential; use {{'env': '{name}'}} instead of its value")
