"""From what the operator and the log say to a cause: their words, and not what every log repeats."""

from __future__ import annotations

import pytest

from airflow_provider_lmeval.backends.lmevaljob.failure import LAST_LINES, cause_of, last_error, remedy
from airflow_provider_lmeval.wire import Cause

ECHO = "INFO Initializing hf model, with arguments: {'pretrained': 'org/m', 'trust_remote_code=True': ''}"
COMMAND = "python -m lm_eval --model hf --model_args pretrained=m,trust_remote_code=True --confirm_run_unsafe_code"


@pytest.mark.parametrize(
    ("message", "cause"),
    [
        ("", "internal"),
        ("exit status 1", "internal"),
        ("Error", "internal"),
        ("OOMKilled", "out_of_memory"),
        ("ImagePullBackOff", "image"),
        ("CreateContainerConfigError", "pod_rejected"),
        ("signal: killed", "killed"),
        ('pods "nightly" not found', "killed"),
        ('pods "nightly" is forbidden: exceeded quota: gpus', "quota"),
        ("job requires kueue.x-k8s.io/queue-name label", "bad_spec"),
        ("Input validation failed: invalid model name", "bad_spec"),
        ("failed to parse the custom card. unexpected end of JSON input", "bad_spec"),
    ],
)
def test_the_operators_own_message(message: str, cause: str) -> None:
    assert cause_of(message) == cause


@pytest.mark.parametrize(
    ("line", "cause"),
    [
        ("OfflineModeIsEnabled: Cannot reach https://huggingface.co/api: offline mode is enabled.", "online_denied"),
        (
            "ValueError: Please pass the argument `trust_remote_code=True` to allow custom code to be run.",
            "code_denied",
        ),
        ("avoid malicious use, then set the option `trust_remote_code=True` to remove this error.", "code_denied"),
        ("ValueError: Attempted to run tasks: ['humaneval'] which are marked as unsafe.", "code_denied"),
        ('set the environment variable HF_ALLOW_CODE_EVAL="1"', "code_denied"),
        ("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB", "out_of_memory"),
        ("ValueError: Tasks not found: arc_eesy. Try `lm-eval --tasks list`", "unknown_task"),
    ],
)
def test_the_log_tells_where_the_message_does_not(line: str, cause: str) -> None:
    assert cause_of("exit status 1", ["Loading", line, "  at the end of all", ""]) == cause


@pytest.mark.parametrize("line", [ECHO, COMMAND, 'Error from server: pods "x" not found', "exceeded quota: none"])
def test_what_logs_repeat_of_arguments_is_no_cause(line: str) -> None:
    assert cause_of("exit status 1", [line, "RuntimeError: something else"]) == "internal"


def test_the_last_sign_counts_and_only_among_the_last_lines() -> None:
    early = "OfflineModeIsEnabled: offline mode is enabled"
    assert cause_of("", [early, "CUDA out of memory"]) == "out_of_memory"
    assert cause_of("", [early] + ["."] * LAST_LINES) == "internal"


def test_the_last_exception_is_shown_shortened() -> None:
    assert last_error(["Traceback", "ValueError: one", "  KeyError: 'two'", "done"]) == "KeyError: 'two'"
    assert last_error(["An Error happened", ""]) is None
    assert len(last_error(["RuntimeError: " + "x" * 5000]) or "") == 1000


@pytest.mark.parametrize(
    "step", ["permitOnline: allow", "lmes-allow-online", "opendatahub.io/managed=false", "restart"]
)
def test_online_access_that_was_asked_for_and_denied_has_its_steps(step: str) -> None:
    assert step in remedy(Cause.ONLINE_DENIED, online=True)
    assert step not in remedy(Cause.ONLINE_DENIED, online=False)


def test_code_has_its_steps_and_other_causes_none() -> None:
    assert "permitCodeExecution: allow" in remedy(Cause.CODE_DENIED, online=False)
    assert "lmes-allow-code-execution" in remedy(Cause.CODE_DENIED, online=False)
    assert remedy(Cause.INTERNAL, online=True) == ""
