"""Whether an ``LMEvalJob`` can say what a spec says, asked before there is anything to run.

A DAG file is parsed far from the cluster: what an administrator adds there (batch sizes, Secrets) is not known yet, and so
nothing is held against it that may still come. What no administrator can mend is a problem at once.
"""

from __future__ import annotations

from airflow_provider_lmeval.errors import ManifestError
from airflow_provider_lmeval.plan.batch import BatchRules
from airflow_provider_lmeval.plan.checks import Problem
from airflow_provider_lmeval.plan.lmevaljob.write import write_lmevaljob
from airflow_provider_lmeval.spec import EnvRef, EvalSpec
from airflow_provider_lmeval.spec.lmevaljob import LMEvalJobSettings, SecretSelector

SEEN_TO = frozenset({"checkpoint", "no_progress_timeout", "timeout", "unitxt.name"})
"""Fields of a spec that LMEvalJob has no words for and the backend ``lmevaljob`` sees to. The operator always sends all
tasks in one call, so there is nothing to resume from, whatever ``checkpoint`` says."""


def secrets_of(spec: EvalSpec, job: LMEvalJobSettings) -> dict[str, SecretSelector]:
    """Return the Secrets that a spec refers to; an administrator's defaults name them for all jobs."""
    return {name: secret for name, secret in job.env_secrets.items() if name in spec.env}


def job_problems(spec: EvalSpec, job: LMEvalJobSettings) -> list[Problem]:
    """Return what LMEvalJob has no words for, whatever an administrator has set.

    :param job: the settings that are known. A Secret that is not among them may be one of the administrator's.
    """
    references = [value.env for value in spec.env.values() if isinstance(value, EnvRef)]
    later = {name: SecretSelector(name="later", key=name) for name in references if name in spec.env}
    known = job.model_copy(update={"env_secrets": later | secrets_of(spec, job)})
    undecided = spec.model_copy(update={"max_batch_size": None})
    try:
        write_lmevaljob(undecided, known, batch=BatchRules(), elsewhere=SEEN_TO)
    except ManifestError as error:
        return [Problem("lmevaljob-field", "error", line) for line in str(error).splitlines()]
    return []
