"""What must hold whatever text attackers put into the documents of ``hostile_documents``.

``python hostile.py CASES`` puts CASES hostile texts into these documents, takes each through everything that happens to a
document before a process is started (parse, checks, request, command, pod, the driver's intake and the child's environment),
and watches the interpreter with an audit hook meanwhile. It runs in a process of its own because an audit hook stays. Every
place has its turn first; what is left of CASES is drawn. The fields that had a turn are printed, so that a test can hold
them against the fields that ``hostile_fields`` finds in the models.
"""

from __future__ import annotations

import json
import os
import re
import sys
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

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
from tests.support.hostile_documents import DOCUMENTS, NASTY, Json, Place, documents, parts_of_pods, places, with_text

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

ALPHABET = "ab0.-_/\\'\"`${}[]()<>|&;:,=*?#@!%^~ \n\t\r\x00\x1b\x7f\u00e9\u202e\u2028\ud800\U0001d51e"
TEXT = st.one_of(st.sampled_from(NASTY), st.text(ALPHABET, max_size=12), st.text(max_size=4))


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
