"""One exception tree for the whole package.

Callers catch what they can act on, so the tree follows the action, not the module: repair the spec, grant a permission,
repair the configuration, look at the run, repair the storage. Operators, sensors and triggers convert these into Airflow's
exceptions; nothing below them knows Airflow. Standard library only, because the driver uses it too.

::

    LMEvalError
    ├── SpecError (ValueError)      the spec cannot be right: repair it, retrying is pointless
    │   ├── UnknownTaskError        a task, group, tag or suite lm-eval does not offer
    │   ├── ManifestError           an LMEvalJob that cannot be read, or a spec that LMEvalJob cannot express
    │   ├── MissingExtraError       the model type needs a package that is not installed
    │   └── EvaluationPermissionError   online access or code execution is not granted
    ├── ConfigError                 a connection or the ``[lmeval]`` section is wrong
    ├── BackendError                a run could not be started, reached or stopped
    │   ├── ClusterError            Kubernetes refused or could not be reached; carries the HTTP status and a cause
    │   ├── RunNotFoundError        the handle names a run that is not there
    │   └── WrongHostError          a local run belongs to another machine
    ├── RunFailedError              the run ended without a result; carries its cause
    ├── StoreError                  results could not be written or read
    │   ├── ResultNotFoundError     nothing, or no completion marker, at the place
    │   └── DamagedResultError      what is there does not match its digest or schema
    ├── OutputError                 a stored result could not be published; says whether another try may help
    ├── MetricNotFoundError (LookupError)   a result holds no such task or metric
    ├── ProtocolError               a document of the driver protocol that this version cannot read
    └── GateError (ValueError)      rules or evidence the gate cannot be asked about
"""

from __future__ import annotations


class LMEvalError(Exception):
    """Anything this package raises on purpose."""


class SpecError(LMEvalError, ValueError):
    """The evaluation spec says something that cannot be right; retrying will not help."""


class UnknownTaskError(SpecError):
    """A task, group, tag or suite that lm-eval does not offer."""


class ManifestError(SpecError):
    """A manifest that is no LMEvalJob we can read, or a spec that LMEvalJob has no words for; one line per problem."""


class MissingExtraError(SpecError):
    """The model type needs a package that the driver's Python does not have."""


class EvaluationPermissionError(SpecError):
    """Online access or code execution that the spec and the administrator have not both allowed."""


class ConfigError(LMEvalError):
    """A connection or the ``[lmeval]`` configuration section is wrong."""


class BackendError(LMEvalError):
    """A run could not be started, reached or stopped."""


class ClusterError(BackendError):
    """Kubernetes' API server refused a request, failed at it, or could not be reached.

    :param message: what was asked, the server's own words, and what to do.
    :param status: the HTTP status; 0 if there was no answer.
    :param cause: one of :class:`airflow_provider_lmeval.wire.Cause` where the refusal tells, else None.
    """

    def __init__(self, message: str, status: int = 0, cause: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.cause = cause

    @property
    def transient(self) -> bool:
        """Whether the same request may succeed a little later."""
        return self.status in (0, 408, 429) or self.status >= 500


class RunNotFoundError(BackendError):
    """The handle names a run that does not exist (any more)."""


class WrongHostError(BackendError):
    """A local run was started on another machine and cannot be reached from this one."""


class RunFailedError(LMEvalError):
    """A run ended without a usable result.

    :param message: what happened, in the words of whatever raised it.
    :param cause: one of :class:`airflow_provider_lmeval.wire.Cause`.
    """

    def __init__(self, message: str, cause: str) -> None:
        super().__init__(message)
        self.cause = cause


class StoreError(LMEvalError):
    """Results could not be written to, or read from, the store."""


class ResultNotFoundError(StoreError):
    """There is no result, or no completion marker, at the place named."""


class DamagedResultError(StoreError):
    """A stored result does not match its digest or its schema."""


class OutputError(LMEvalError):
    """A stored result could not be published somewhere; the result itself is unharmed.

    :param transient: whether the same attempt may succeed a little later.
    """

    def __init__(self, message: str, *, transient: bool = False) -> None:
        super().__init__(message)
        self.transient = transient


class MetricNotFoundError(LMEvalError, LookupError):
    """A result holds no such task, or the task no such metric."""


class ProtocolError(LMEvalError):
    """A document of the driver protocol that this version cannot read."""


class GateError(LMEvalError, ValueError):
    """Rules or evidence that the gate cannot be asked about."""
