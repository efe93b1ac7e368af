"""Keeps unitxt from building artifacts that the run may not use, wherever they come from.

The check before the run sees what the request holds. unitxt also builds artifacts from strings in the data (a column of
post-processors, a template stored with each instance), from files that appear later, and from the arguments of references.
All of these pass one function of unitxt's, ``Artifact.verify_artifact_dict``, just before a class is called; the rules are
applied there again. It is replaced because unitxt offers no hook. Classes that unitxt's own code calls are not affected.
"""

from __future__ import annotations

from typing import Any, NoReturn

from airflow_provider_lmeval.driver.worker.unitxt_rules import Rules, code_denied
from airflow_provider_lmeval.wire_unitxt import TYPE


def guard(rules: Rules) -> None:
    """Apply the rules in this process from now on. Imports unitxt; its environment has to be set before.

    :param rules: the permissions; nothing is done where code is allowed.
    """
    if rules.allow_code:
        return
    from unitxt.artifact import Artifact
    from unitxt.serializers import SQLDatabaseAsSchemaSerializer

    original = Artifact.verify_artifact_dict

    def verify(_cls: type, artifact: Any) -> None:
        original(artifact)
        rules.check(artifact, f"{artifact[TYPE]} in the data")

    Artifact.verify_artifact_dict = classmethod(verify)
    SQLDatabaseAsSchemaSerializer.serialize = _no_database


def _no_database(*_: Any) -> NoReturn:
    """Stand in for a serializer that every template has, and that connects to a database whose address is in the data."""
    kind = "sql_database_as_schema_serializer"
    raise code_denied(f"{kind} in the data", kind, "connects to a database chosen by the data")
