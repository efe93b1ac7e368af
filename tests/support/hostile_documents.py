"""Documents with every field that text can stand in, the text that attackers put there, and the places it goes to."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from tests.support.lmevaljobs import leaves, minimal, paths_of, with_leaf

Json = dict[str, Any]
Place = tuple[str, tuple[str | int, ...], bool]
"""Name of a document, the way to a value in it, and whether the key is meant instead of the value."""

NASTY = (
    "", " ", "\x00", "a\x00b", "\n", "a\nb: c", "\r\n", "\x1b[2J", "'", '"', '"}]', "'; rm -rf / #", "$(touch /tmp/owned)",
    "`touch /tmp/owned`", "| cat /etc/passwd", "&& true", "; import os", "../../etc/passwd", "/etc/passwd", "~/.ssh/id_rsa",
    "/proc/self/environ", "/../..", "..", ".", "-", "--config", "-o/tmp/x", "file:///etc/passwd", "http://169.254.169.254/",
    "ftp://h/x", "https://u:p@h/v1/completions", "${HOME}", "$AWS_SECRET_ACCESS_KEY", "%(AWS_SECRET_ACCESS_KEY)s", "%s%n",
    "{{ ''.__class__.__mro__ }}", "{% import os %}", "{{ x | attr('y') }}", "{0.__class__}", "!function utils.f",
    "!!python/object/apply:os.system [id]", "__import__('os').system('id')", '{"env": "AWS_SECRET_ACCESS_KEY"}',
    '{"__type__": "execute_expression"}', "{", "}", "[", "]", "{}", "[]", "null", "true", "NaN", "1e999", "&a [*a]", "*a",
    "- a", "? b", "#", "@", "\ud800", "\uffff", "\u202egnp.exe", "\u2028", "\ufb00", "\u0130", "\U0001d51e",
    "a" * 300, "A" * 5000, "*", "?",
    "[a-", "\\", "\\\\", "\\x00", "C:\\x", "a,b=c", "a=b,trust_remote_code=True", "suite:", "suite:../x", "cards.x..y",
    "__class__", "constructor", "os.environ", "HF_ALLOW_CODE_EVAL", "LD_PRELOAD", "PYTHONPATH",
)  # fmt: skip

DOCUMENTS: dict[str, Json] = {
    "hf": {
        "model": {
            "type": "hf", "pretrained": "org/model", "revision": "main", "dtype": "auto", "tokenizer": "org/t",
            "subfolder": "s", "backend": "causal", "peft": "org/peft", "gguf_file": "f.gguf", "think_end_token": "</t>",
            "attn_implementation": "sdpa", "chat_template_args": {"k": "v"}, "args": {"k": "v", "d": {"e": ["f"]}},
        },
        "tasks": ["arc_easy", "gsm8?", {"task": "own", "dataset_path": "json", "doc_to_text": "{{q}}",
                  "dataset_kwargs": {"data_files": {"test": "/data/x.jsonl"}}, "metric_list": [{"metric": "acc"}]}],
        "include_paths": ["/tasks"],
        "samples": {"arc_easy": [0, 1]}, "batch_size": "auto:2", "device": "cuda:0", "gen_kwargs": {"until": ["x"]},
        "system_instruction": "Be brief.", "apply_chat_template": "default", "use_cache": "/cache/x",
        "metadata": {"k": "v"}, "env": {"A": "b", "N": {"env": "NAMED"}}, "checkpoint": "task",
    },
    "delta": {"model": {"type": "hf", "pretrained": "org/model", "delta": "org/d", "autogptq": "f"}, "tasks": "arc_easy"},
    "vllm": {
        "model": {"type": "vllm", "pretrained": "org/m", "quantization": "awq", "lora_local_path": "/l"},
        "tasks": ["gsm8k"],
        "task_sources": [
            {"type": "git", "url": "https://github.com/o/r", "ref": "main", "path": "tasks/x"},
            {"type": "directory", "path": "/tasks"},
            {"type": "config_map", "name": "tasks", "path": "/tasks2"},
        ],
    },
    "served": {
        "model": {
            "type": "local-completions", "model": "m", "base_url": "http://h:8000/v1/completions", "tokenizer": "o/t",
            "tokenizer_backend": "huggingface", "header": {"X-A": "b", "X-B": {"env": "NAMED"}}, "ca_cert_path": "/ca.pem",
            "revision": "main", "digest": "sha256:" + "0" * 64,
        },
        "tasks": ["arc_easy"],
    },
    "offline": {
        "model": {"type": "hf", "pretrained": "/m"}, "tasks": ["arc_easy"],
        "offline": {
            "cache": "/cache", "check": "sizes",
            "s3": {"bucket": "b", "path": "p", "endpoint": "https://s3:9000", "region": "r", "ca_bundle": "/ca.pem",
                   "access_key_id": {"env": "NAMED"}, "secret_access_key": {"env": "HF_TOKEN"},
                   "session_token": {"env": "NAMED"}},
        },
    },
    "chat": {
        "model": {"type": "local-chat-completions", "model": "m", "base_url": "http://h:8000/v1/chat/completions"},
        "tasks": ["gsm8k"], "apply_chat_template": True,
    },
    "openai": {"model": {"type": "openai-completions", "model": "davinci-002"}, "tasks": ["arc_easy"]},
    "watsonx": {"model": {"type": "watsonx_llm", "model_id": "m", "generate_params": {"k": "v"}}, "tasks": ["gsm8k"]},
    "deployed": {"model": {"type": "watsonx_llm", "deployment_id": "m"}, "tasks": ["gsm8k"]},
    "textsynth": {"model": {"type": "textsynth", "engine": "e"}, "tasks": ["gsm8k"]},
    "other": {"model": {"type": "sglang", "args": {"pretrained": "o/m"}}, "tasks": ["gsm8k"]},
    "unitxt": {
        "model": {"type": "hf", "pretrained": "/m"},
        "unitxt": [
            {"name": "one", "card": "cards.wnli", "template": "templates.x", "task": "tasks.y", "metrics": ["metrics.z"],
             "format": "formats.f", "system_prompt": "system_prompts.s"},
            {"card": {"__type__": "task_card", "loader": {"__type__": "load_csv", "files": {"test": "/data/x.csv"}}}},
        ],
        "artifacts": {
            "cards": {"cards.own": {"__type__": "task_card"}}, "templates": {"templates.own": {"__type__": "t"}},
            "system_prompts": {"system_prompts.own": "Be brief."}, "metrics": {"metrics.own": {"__type__": "m"}},
            "tasks": {"tasks.own": {"__type__": "t"}},
        },
    },
    "data": {
        "model": {"type": "hf", "pretrained": "/m"},
        "data": [
            {"name": "mine", "output_type": "multiple_choice", "path": "/data/x.csv", "format": "csv", "sha256": "0" * 64,
             "columns": {"question": "q", "choices": "c", "answer": "a", "context": "x"}, "answer_is": "index",
             "prompt": "{context} {question}", "metrics": ["acc"], "fewshot": {"path": "/data/y.jsonl"}, "num_fewshot": 1},
            {"name": "hub", "output_type": "generate_until", "dataset": "o/d", "config": "c", "split": "test",
             "revision": "r", "columns": {"question": "q", "answer": "a"}, "until": ["\n"]},
            {"name": "away", "output_type": "generate_until", "uri": "s3://b/x.jsonl",
             "columns": {"question": "q", "answers": ["a", "b.c"]}},
        ],
    },
}  # fmt: skip
"""Specs; between them they have every field that can hold text."""
POD: Json = {
    "image": "i@sha256:" + "0" * 64, "image_pull_policy": "Always", "image_pull_secrets": ["s"], "namespace": "n",
    "labels": {"k": "v"}, "annotations": {"k": "v"}, "driver": "copy", "driver_image": "d", "python": "python3",
    "gpu": {"count": 1, "strategy": "data", "resource": "nvidia.com/gpu", "product": "H100",
            "memory": "80Gi"},
    "preflight": {"cpu": "1", "memory": "2Gi", "node_selector": {"k": "v"}, "queue_name": "q"}, "cpu": "4",
    "memory": "8Gi", "shm_size": "1Gi", "node_selector": {"k": "v"}, "affinity": {"k": {"v": "w"}},
    "tolerations": [{"key": "k"}], "priority_class_name": "p", "runtime_class_name": "r", "scheduler_name": "s",
    "queue_name": "q", "workload_priority_class": "w", "service_account_name": "s",
    "env_secrets": {"NAMED": {"secret": "s", "key": "k"}},
    "secret_files": [{"secret": "s", "path": "/secret", "keys": ["k"]}],
    "endpoint_token": {"audience": "a", "env": "TOKEN"}, "ca_bundles": [{"config_map": "c", "key": "k"}],
    "proxy": {"http": "http://p:1", "https": "http://p:1", "no_proxy": ["h"]},
    "claims": [{"claim": "c", "path": "/c", "sub_path": "s"},
               {"path": "/d", "size": "1Gi", "storage_class_name": "s", "access_mode": "ReadWriteOnce",
                "retention": "Delete"}],
    "cache": {"claim": "cache", "path": "/cache"}, "results": {"claim": "results", "path": "/results"},
    "results_uri": "s3://b/p", "results_options": {"key": {"env": "NAMED"}}, "status_tls_secret": "t",
}  # fmt: skip
RULES: Json = {
    "rules": [{"task": "arc_easy", "metric": "acc", "floor": 0.1, "direction": "higher", "tier": "block", "name": "n"}],
    "on_error": "block", "on_inconclusive": "ask", "on_warn": "ask", "on_missing_baseline": "warn",
}  # fmt: skip
JOB: Json = {
    "name": "j", "generate_name": "j-", "namespace": "n", "labels": {"k": "v"}, "annotations": {"k": "v"},
    "env_secrets": {"NAMED": {"name": "s", "key": "k"}},
    "git_tasks": {"url": "https://github.com/o/r", "branch": "b", "commit": "c", "path": "p"},
    "outputs": {"pvc_name": "c", "pvc_managed": {"size": "1Gi"},
                "oci": {"registry": {"name": "s", "key": "k"}, "repository": "r", "tag": "t", "subject": "m"}},
    "offline": {"pvc_name": "c", "s3": {
        "path": "p", "access_key_id": {"name": "s", "key": "k"}, "secret_access_key": {"name": "s", "key": "k"},
        "bucket": {"name": "s", "key": "k"}, "region": {"name": "s", "key": "k"}, "endpoint": {"name": "s", "key": "k"},
    }},
    "pod": {"env": [{"name": "A", "value": "$(B)"}], "volume_mounts": [{"name": "v", "mountPath": "/v"}],
            "resources": {"limits": {"cpu": "1"}}, "security_context": {"procMount": "Default"},
            "volumes": [{"name": "v", "configMap": {"name": "c"}}], "side_cars": [{"name": "s", "image": "i"}],
            "affinity": {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [{"topologyKey": "t"}]}},
            "pod_security_context": {"fsGroupChangePolicy": "Always"}},
}  # fmt: skip
"""Settings of ``LMEvalOperator(lmevaljob=…)``."""
OUTPUTS: dict[str, Json] = {
    "oci": {"type": "oci", "conn_id": "c", "repository": "a/b", "tag": "t", "subject": "sha256:0"},
    "mlflow": {"type": "mlflow", "conn_id": "c", "experiment": "e", "run_id": "r", "tags": {"k": "v"}},
    "card": {"type": "model_card", "conn_id": "c", "repo_id": "o/m", "revision": "main"},
    "card on disk": {"type": "model_card", "path": "/models/m"},
    "wandb": {"type": "wandb", "conn_id": "c", "wandb_args": {"project": "p", "tags": ["t"]}},
}
JOBS = Path(__file__).parents[1] / "data" / "lmevaljob" / "everything.yaml"


def documents() -> dict[str, Json]:
    """Return all documents by name: specs, settings of pods and jobs, rules, outputs, manifests."""
    jobs = [job for job in yaml.safe_load_all(JOBS.read_text(encoding="utf-8")) if job]
    outputs = {f"output-{name}": output for name, output in OUTPUTS.items()}
    manifests = {f"lmevaljob-{index}": job for index, job in enumerate(jobs)}
    sliced = {"gpu": {"mig": "1g.10gb"}}
    return DOCUMENTS | {"pod": POD, "pod-slice": sliced, "job": JOB, "rules": RULES} | outputs | manifests


def parts_of_pods() -> Iterator[tuple[Place, Json]]:
    """Yield each field of an ``LMEvalJob``'s ``spec.pod`` that the documents do not have, with the smallest manifest that
    has it."""
    there = {path for name, job in documents().items() if "lmevaljob" in name for path in paths_of(job["spec"])}
    needed = minimal()["spec"]
    for path in leaves():
        if path not in there and path[1] == "pod":
            manifest = minimal(**with_leaf(path[1:]) | {key: value for key, value in needed.items() if key != "pod"})
            steps = tuple(0 if step == "[]" else step for step in path)
            yield (f"lmevaljob {'.'.join(path)}", steps, False), manifest


def places(name: str, value: Any, path: tuple[str | int, ...] = ()) -> Iterator[Place]:
    """Yield where text can be put into a document: for every value, and for every key."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield name, (*path, key), True
            yield from places(name, item, (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from places(name, item, (*path, index))
    if path:
        yield name, path, False


def with_text(document: Json, place: Place, text: str) -> Json:
    """Return the document with the text in that place."""
    _, path, is_key = place
    changed = copy.deepcopy(document)
    inner: Any = changed
    for step in path[:-1]:
        inner = inner[step]
    if is_key:
        inner[text] = inner.pop(path[-1])
    else:
        inner[path[-1]] = text
    return changed
