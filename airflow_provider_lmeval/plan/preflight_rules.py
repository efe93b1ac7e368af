"""The rules that an evaluation is held against before it costs anything: their ids, and one line each on what to do.

People look rules up by the id that a message ends in, so an id never changes. The first five are what goes wrong most often
with ``LMEvalJob`` on OpenShift AI; the last need a run, and are the preflight's in a pod (``wire_preflight``). The
documentation's tables are held against this one.
"""

from __future__ import annotations

from airflow_provider_lmeval.wire_preflight import CHECKS

RULES: dict[str, str] = {
    "hub-offline": "Set `allow_online: true` and have it granted, or put models and tokenizers on a volume and give paths.",
    "base-url": "End `model.base_url` in `/v1/completions`, or `/v1/chat/completions` for chat: it is used as it is.",
    "loglikelihood-chat": "Use model type `local-completions`, or a `generate_until` task.",
    "tokenizer": "Give the model's Hub id (`owner/name`) or a directory as `model.tokenizer`, not the served name.",
    "loglikelihood-openai": "Use model type `local-completions` against a server of your own, or `davinci-002`.",
    "unknown-task": "Choose a name that `airflow lmeval ls tasks` lists, or name your own directory in `include_paths`.",
    "name-clash": "Give the recipe or the data a name that lm-eval does not use.",
    "defective-group": "Take the suite that the message names, or the tasks themselves.",
    "code-denied": "Set `allow_code_execution` in the spec and have the administrator grant it, or drop what is code.",
    "online-denied": "Set `allow_online` in the spec and have the administrator grant it, or use local files.",
    "env-denied": "Have the administrator add the variable to `[lmeval] allowed_env`.",
    "env-forbidden": "Remove the variable from `env`; what it does belongs into the image.",
    "git-denied": "Have the administrator add the host to `[lmeval] allowed_git_hosts`.",
    "data-root": "Put the file beside the task files, or have its directory added to `[lmeval] allowed_data_roots`.",
    "data": "Correct the lines of the file that the message names.",
    "limit": "Drop `limit` for a result that a gate is to judge.",
    "predict-only": "Drop `predict_only` for a result that a gate is to judge.",
    "warm-up": "Drop `warm_up` to evaluate; `LMEvalWarmupOperator` sets it by itself.",
    "strategy": "Choose the `gpu.strategy` that the message names, or leave it out.",
    "lmevaljob-field": "Leave the field that the message names at its default, or choose the backend `kubernetes`.",
    "no-gpu": "Request a GPU with `kubernetes.gpu`, or choose another device.",
    "idle-gpu": "Drop `gpu`: nothing in this evaluation would use it.",
    "no-store": "Set `results_uri` to an object store, or `kubernetes.results` to a volume.",
    "image-tag": "Name the image by its digest.",
    "cache-identity": "Declare the served weights as `model.digest`, or drop `use_cache`.",
    "certificate-unverified": "Trust the server's CA with `model.ca_cert_path` and drop `verify_certificate: false`.",
    "header-replaces-key": "Put `Authorization` into `model.header` too, or drop one of both.",
    **CHECKS,
}
"""Remedy by id; messages have the details."""
