"""``LMEvalJob``, the resource of TrustyAI's operator, to and from our own words. Nothing here talks to a cluster.

Teams that run evaluations with the operator keep their manifests: :func:`read_lmevaljob` makes an
:class:`~airflow_provider_lmeval.spec.EvalSpec` of one, :func:`write_lmevaljob` makes a resource of a spec for the operator
to run. A field without an equal is an error or a warning that names it; nothing is dropped in silence.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from airflow_provider_lmeval.errors import ManifestError
from airflow_provider_lmeval.plan.lmevaljob.documents import SourceDocument, read_documents
from airflow_provider_lmeval.plan.lmevaljob.findings import Finding
from airflow_provider_lmeval.plan.lmevaljob.outputs import oci_artifact
from airflow_provider_lmeval.plan.lmevaljob.read import Translation, read_lmevaljob
from airflow_provider_lmeval.plan.lmevaljob.storage import bucket_variables
from airflow_provider_lmeval.plan.lmevaljob.whole import all_parts, manifest_of, named
from airflow_provider_lmeval.plan.lmevaljob.write import write_lmevaljob

if TYPE_CHECKING:
    from airflow_provider_lmeval.spec import EvalSpec

__all__ = [
    "Finding",
    "SourceDocument",
    "Translation",
    "TranslationWarning",
    "all_parts",
    "bucket_variables",
    "manifest_of",
    "named",
    "oci_artifact",
    "read_documents",
    "read_lmevaljob",
    "read_one",
    "spec_of",
    "write_lmevaljob",
]


class TranslationWarning(UserWarning):
    """A field of a manifest that a spec alone has no place for."""


def read_one(manifest: Mapping[str, Any] | str) -> Translation:
    """Translate one manifest, data or YAML text with one ``LMEvalJob`` among whatever else.

    :raises ManifestError: it cannot be translated, or the text does not hold exactly one.
    """
    if not isinstance(manifest, str):
        return read_lmevaljob(manifest)
    found = [document for document in read_documents(manifest) if document.is_lmevaljob]
    if len(found) != 1:
        raise ManifestError(f"the text holds {len(found)} LMEvalJobs; give one, or use read_documents")
    return read_lmevaljob(found[0].data, locate=found[0].locate)


def spec_of(manifest: Mapping[str, Any] | str) -> EvalSpec:
    """Return the spec alone, with a Python warning for every field that is not in it.

    :raises ManifestError: see :func:`read_one`.
    """
    translation = read_one(manifest)
    for finding in (*translation.warnings, *translation.beside_the_spec):
        warnings.warn(str(finding), TranslationWarning, stacklevel=3)
    return translation.spec
