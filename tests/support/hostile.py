"""Documents with every field that text can stand in, the text that attackers put there, and what must hold afterwards.

``python hostile.py CASES`` puts CASES hostile texts into these documents, takes each through everything that happens to a
document before a process is started (parse, checks, request, command, pod, the driver's intake and the child's environment),
and watches the interpreter with an audit hook meanwhile. It runs in a process of its own because an audit hook stays. Every
place has its turn first; what is left of CASES is drawn. The fields that had a turn are printed, so that a test can hold
them against the fields that ``hostile_fields`` finds in the models.
"""

from __future__ import annotations

import copy
import json
import os
import re
import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from airflow_provider_lmeval.driver.environment import Resolver, build
from airflow_provider_lmeval.driver.intake import check_request
from airflow_provider_lmeval.errors import LMEvalError
from airflow_provider_lmeval.gate import RuleSet
from airflow_provider_lmeval.plan import Grants, Placement, check, equivalent_command, plan_request
from airflow_provider_lmeval.plan.lmevaljob import read_lmevaljob, write_lmevaljob
from airflow_provider_lmeval.plan.pod import companions, complete
from airflow_provider_lmeval.plan.pod_parts import PodRun
from airflow_provider_lmeval.spec import EvalSpec
from airflow_provider_lmeval.spec.lmevaljob import LMEvalJobRun
from airflow_provider_lmeval.spec.outputs import parse_outputs
from airflow_provider_lmeval.spec.pod import PodSettings
from airflow_provider_lmeval.wire import Request, RunDir, dump
from airflow_provider_lmeval.wire_pod import pack_request, unpack_request
from tests.support.lmevaljobs import leaves, minimal, paths_of, with_leaf

Json = dict[str, Any]
Place = tuple[str, tuple[str | int, ...], bool]
"""Name of a document, the way to a value in it, and whether the key is meant instead of the value."""

PLANTED = "value-that-nobody-named"
SECRET = "AWS_SECRET_ACCESS_KEY"


class Environ(dict[str, str]):
    """An environment that lets nobody ask for the secret in it."""

    def __getitem__(self, name: str) -> str:
        assert name != SECRET
        return super().__getitem__(name)

    def get(self, name: str, default: Any = None) -> Any:
        assert name != SECRET
        return super().get(name, default)


ENVIRON = Environ(
    PATH="/usr/bin", HOME="/nowhere", NAMED="value-that-was-named", HF_TOKEN="named", AWS_SECRET_ACCESS_KEY=PLANTED
)
GRANTS = Grants(env=frozenset({"NAMED", "HF_TOKEN"}), git_hosts=frozenset({"github.com"}), data_roots=("/data",))
RUN = RunDir(Path("/runs/run-1"))

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
ALPHABET = "ab0.-_/\\'\"`${}[]()<>|&;:,=*?#@!%^~ \n\t\r\x00\x1b\x7f\u00e9\u202e\u2028\ud800\U0001d51e"
TEXT = st.one_of(st.sampled_from(NASTY), st.text(ALPHABET, max_size=12), st.text(max_size=4))

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
             "columns": {"question": "q", "answer": "a"}},
        ],
    },
}  # fmt: skip
"""Specs; between them they have every field that can hold text."""
POD: Json = {
    "image": "i@sha256:" + "0" * 64, "image_pull_policy": "Always", "image_pull_secrets": ["s"], "namespace": "n",
    "labels": {"k": "v"}, "annotations": {"k": "v"}, "driver": "copy", "driver_image": "d", "python": "python3",
    "gpu": {"count": 1, "strategy": "data", "resource": "nvidia.com/gpu", "product": "H100"}, "cpu": "4",
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
    "on_error": "block", "on_inconclusive": "ask", "on_missing_baseline": "warn",
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


def take(name: str, document: Json) -> str:
    """Take one document as far as it goes without starting anything.

    :returns: how far it went.
    :raises AssertionError: something came out that must not.
    """
    try:
        if name.startswith("output"):
            (output,) = parse_outputs(document)
            assert parse_outputs(json.loads(json.dumps(output.model_dump(mode="json")))) == (output,)
        elif name == "job":
            job = LMEvalJobRun.parse(document)
            spec = EvalSpec.parse(DOCUMENTS["delta"] | {"env": {"NAMED": {"env": "NAMED"}}})
            assert LMEvalJobRun.parse(json.loads(json.dumps(job.to_data()))) == job
            assert PLANTED not in json.dumps(write_lmevaljob(spec, job))
        elif name == "rules":
            rules = RuleSet.parse(document)
            assert RuleSet.parse(json.loads(json.dumps(rules.to_data()))) == rules
        elif name.startswith("pod"):
            settings, served = PodSettings.parse(document), EvalSpec.parse(DOCUMENTS["served"])
            pod(plan_request(served, "run-1", GRANTS, Placement(in_pod=True)), settings)
        elif name.startswith("lmevaljob"):
            translation = read_lmevaljob(document)
            plan(translation.spec)
            read_lmevaljob(write_lmevaljob(translation.spec, translation.job))
        else:
            spec = EvalSpec.parse(document)
            assert EvalSpec.parse(json.loads(json.dumps(spec.to_data()))) == spec
            plan(spec)
    except LMEvalError:
        return "refused"
    return "accepted"


def plan(spec: EvalSpec) -> None:
    """Do what follows a valid spec, permissions or not: the driver must not rely on the checks before it."""
    check(spec, GRANTS)
    request = replace(plan_request(spec, "run-1", GRANTS, Placement()), grace_s=1.0)
    wire = json.loads(dump(request.to_json(), sort_keys=False))
    assert type(request).from_json(wire) == request
    assert unpack_request(pack_request(request)) == request
    argv = equivalent_command(spec)
    assert PLANTED not in json.dumps([wire, argv])
    assert argv[:4] == ["lm-eval", "run", "--model", spec.model.type]
    assert not any("\x00" in word for word in argv)
    assert json.loads(argv[5]) == json.loads(json.dumps(spec.model.lm_eval_args()))
    for task in (*request.tasks, *(str(task["task"]) for task in request.inline_tasks)):
        assert RUN.task(task).parent == RUN.tasks
        assert RUN.task(task).name not in ("", ".", "..")
    intake(request)
    pod(request, PodSettings.parse({"image": "i"}))


def intake(request: Request) -> None:
    """Do what the driver does before it starts a process."""
    check_request(request)
    resolver = Resolver(ENVIRON, request.allowed_env)
    child = build(request, resolver, ENVIRON, RUN.scratch, RUN.scratch / "tmp")
    arguments = resolver.resolve(request.model_args, "model_args")
    assert PLANTED not in json.dumps([child, arguments])
    assert resolver.secrets <= {ENVIRON["NAMED"], ENVIRON["HF_TOKEN"]}
    assert not {"LD_PRELOAD", "PYTHONSTARTUP", "BASH_ENV"} & set(child)
    assert child["PATH"] == ENVIRON["PATH"]
    assert child["HF_HUB_OFFLINE"] == "1"
    assert "HF_ALLOW_CODE_EVAL" not in child
    assert not any("\x00" in name + value or "=" in name for name, value in child.items())


def pod(request: Request, settings: PodSettings) -> None:
    """Render the pod and all that is created before it."""
    packed = pack_request(request)
    run = PodRun(run_id="run-1", name="run-1", namespace="n", request=packed, image="i", spec_hash=request.spec_hash)
    manifest = complete(run, settings)
    text = json.dumps([manifest, companions(run, settings)])
    assert PLANTED not in text
    base = manifest["spec"]["containers"][0]
    assert base["command"] == [settings.python, "-m", "airflow_provider_lmeval.driver"]
    assert "args" not in base
    assert base["securityContext"]["allowPrivilegeEscalation"] is False
    assert manifest["metadata"]["labels"]["app.kubernetes.io/managed-by"] == "airflow-provider-lmeval"
    assert all(
        re.fullmatch(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", each["name"]) for each in manifest["spec"]["volumes"]
    )
    assert not any("hostPath" in volume for volume in manifest["spec"]["volumes"])


class Watch:
    """Notes what the interpreter is asked to do while it is armed: nothing of this may happen. Code that the documents as
    they stand have run already, which is the driver's type annotations, is known.

    Audit events: https://docs.python.org/3/library/audit_events.html
    """

    EVENTS = (
        "open", "exec", "import", "os.system", "os.exec", "os.posix_spawn", "os.fork", "os.listdir", "os.scandir",
        "os.remove", "os.rename", "os.mkdir", "os.putenv", "subprocess.Popen", "socket.", "shutil.", "pickle.find_class",
        "marshal.loads", "ctypes.", "glob.glob", "urllib.Request", "tempfile.", "pty.spawn", "code.__new__",
    )  # fmt: skip

    def __init__(self) -> None:
        self.armed = self.learns = False
        self.known: set[object] = set()
        self.seen: list[str] = []
        sys.addaudithook(self._hear)

    def _hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event == "exec" and (self.learns or arguments in self.known):
            self.known.add(arguments)
        elif self.armed and event.startswith(self.EVENTS):
            self.seen.append(f"{event} {arguments!r:.300}")

    def during(self, action: Callable[[], str]) -> str:
        """Return what the action returns.

        :raises AssertionError: it asked for something.
        """
        self.seen, self.armed = [], True
        try:
            found = action()
        finally:
            self.armed = False
        assert not self.seen, self.seen[:9]
        return found


def _with_a_typo(document: Json) -> Json:
    return document | {"spec": {**document["spec"], "typo": 1}} if "spec" in document else document | {"typo": 1}


def main(cases: int) -> None:
    """Print how many cases were refused and accepted, and the places that had a turn."""
    warnings.simplefilter("ignore")
    os.environ[SECRET] = PLANTED
    all_documents, counted = documents(), {"refused": 0, "accepted": 0}
    spots = [spot for name, document in all_documents.items() for spot in places(name, document)]
    smallest = {place[0]: (place, manifest) for place, manifest in parts_of_pods()}
    watch = Watch()
    for name, document in all_documents.items():
        for each in (document, document | {"kind": "Nothing"}, _with_a_typo(document)):
            take(name, each)  # loads what is loaded once, for refusals too
        watch.learns = True
        assert take(name, document) == "accepted", name
        watch.learns = False
    for name, (place, manifest) in smallest.items():
        assert take(name, manifest) == "accepted", name
        all_documents[name] = manifest
        spots.append(place)

    def attack(spot: Place, text: str) -> None:
        document = with_text(all_documents[spot[0]], spot, text)
        counted[watch.during(lambda: take(spot[0], document))] += 1

    for index, spot in enumerate(spots):
        attack(spot, NASTY[index % len(NASTY)])

    @settings(
        max_examples=cases - len(spots),
        database=None,
        deadline=None,
        derandomize=True,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )
    @given(st.sampled_from(spots), TEXT)
    def hostile(spot: Place, text: str) -> None:
        attack(spot, text)

    hostile()
    print(json.dumps({**counted, "places": spots}))


if __name__ == "__main__":
    main(int(sys.argv[1]))
