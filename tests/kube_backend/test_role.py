"""The Roles in docker/kubernetes are exact: everything documented works with it, and nothing in them can be left out.

Each right has an operation that needs it. It is done twice on a new server: with the whole Role, and without that one right.
What needs the second Role, for claims, is done with both.
"""

from __future__ import annotations

import asyncio
import copy
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, cast

import pytest
import yaml

from airflow_provider_lmeval.backends.base import Handle
from airflow_provider_lmeval.backends.kubernetes.backend import KubernetesBackend
from airflow_provider_lmeval.backends.kubernetes.reap import reap
from airflow_provider_lmeval.errors import LMEvalError
from airflow_provider_lmeval.hooks.lmeval import LMEvalHook, make_backend
from airflow_provider_lmeval.plan import Grants, run_id
from airflow_provider_lmeval.spec import EvalSpec
from airflow_provider_lmeval.triggers.pod import EvalPodTrigger
from airflow_provider_lmeval.wire import DRIVER_HEADER
from tests.kube import KubeServer, Rule, Script
from tests.kube.kinds import CLAIMS, EVENTS, PODS, Kind
from tests.kube_backend import pods
from tests.kube_backend.conftest import NAMESPACE, PAGE, Airflow, documented_role, spec
from tests.kube_backend.test_launch import LARGE
from tests.support.manifests import manifest, role

SPEC = EvalSpec.parse(spec())
RUN = run_id("dag", "manual__1", "evaluate", -1, 0, SPEC.content_hash)
ROLE, CLAIM_ROLE = role(NAMESPACE), role(NAMESPACE, "managed-claims/role")
CLAIM: dict[str, Any] = {"results": {"path": "/results", "size": "1Gi"}}
LONG_AGO = "2020-01-01T00:00:00Z"


def rights(rules: list[Rule]) -> list[tuple[str, str]]:
    return [(resource, verb) for rule in rules for resource in rule.resources for verb in rule.verbs]


@dataclass
class Airflows:
    """Airflow with the rights of a Role, on a server of its own.

    :param rules: what it may do from the first request on.
    """

    server: KubeServer
    rules: list[Rule]

    def __post_init__(self) -> None:
        self.server.user("airflow", self.rules)

    @property
    def backend(self) -> KubernetesBackend:
        return cast("KubernetesBackend", LMEvalHook("eval").get_conn())

    def start(self, **script: Any) -> Handle:
        """Start a run and wait until its pod runs, or has ended if the script ends it."""
        self.server.script(Script(**script))
        handle = self.backend.submit(SPEC, RUN, Grants())
        self.server.wait_for_phase(handle.where["pod"], "Running", "Succeeded", namespace=NAMESPACE)
        return handle

    def claiming(self) -> Handle:
        """Start a run with a claim of its own."""
        self.server.script(Script())
        backend = cast("KubernetesBackend", make_backend(LMEvalHook("eval").settings, pod=CLAIM))
        return backend.submit(SPEC, RUN, Grants())

    def age(self, kind: Kind, *names: str) -> None:
        """Let objects look as if they had been there for long."""

        def change() -> None:
            for name in names:
                old = copy.deepcopy(self.server.cluster.store.get(kind, (NAMESPACE, name)))
                old["metadata"]["creationTimestamp"] = LONG_AGO
                self.server.cluster.store.put(kind, old)

        self.server.call(change)

    def granted(self, verb: str) -> bool:
        """Whether the server has let a request with a verb pass."""
        seen = [each for each in self.server.requests.log if (each.user, each.verb) == ("airflow", verb)]
        return bool(seen) and all(each.status != 403 for each in seen)


def look_for_a_run(on: Airflows) -> bool:
    return on.backend.find(RUN) is None


def create_a_run(on: Airflows) -> bool:
    return bool(on.start().where["uid"])


def look_at_a_run(on: Airflows) -> bool:
    return on.backend.status(on.start()).state == "Running"


def follow(on: Airflows) -> bool:
    trigger = EvalPodTrigger(on.start(runs_s=0.5).to_json(), "eval")

    async def end() -> str:
        async with asyncio.timeout(30):
            async for event in trigger.run():
                return str(event.payload["status"]["reason"])
        raise AssertionError("the trigger ended without an event")

    return asyncio.run(end()) == "Succeeded" and on.granted("watch")


def cancel(on: Airflows) -> bool:
    on.backend.cancel(on.start())
    return not on.server.pods(NAMESPACE)


def cancel_and_keep(on: Airflows) -> bool:
    handle = on.start()
    on.backend.cancel(replace(handle, where=handle.where | {"keep": True}))
    return [pod["status"]["phase"] for pod in on.server.pods(NAMESPACE)] == ["Failed"]


def read_the_log(on: Airflows) -> bool:
    raw = pods.document(RUN)
    handle = on.start(runs_s=0.1, log=pods.log(RUN, raw), message=pods.last_words(RUN, raw))
    on.server.wait_for_phase(handle.where["pod"], "Succeeded", namespace=NAMESPACE)
    return on.backend.collect(handle).succeeded


def ask_for_progress(on: Airflows) -> bool:
    def answer(method: str, path: str, headers: Any) -> tuple[int, dict[str, str], bytes]:
        return 200, {DRIVER_HEADER: "1"}, pods.status(RUN, 7)

    return on.backend.status(on.start(serves=answer)).progress.get("done") == 7


def read_events(on: Airflows) -> bool:
    where = on.start().where
    thing = {"kind": "Pod", "namespace": NAMESPACE, "name": where["pod"], "uid": where["uid"]}
    event = {"involvedObject": thing, "type": "Warning", "reason": "Failed", "message": "no", "source": {}}
    on.server.create({"metadata": {"name": "warning", "namespace": NAMESPACE}, **event}, EVENTS)
    return on.backend.call(lambda api: api.warnings(NAMESPACE, where["uid"])) == ["Failed: no"]


def send_a_large_request(on: Airflows) -> bool:
    on.server.script(Script())
    return bool(on.backend.submit(EvalSpec.parse(spec(tasks=LARGE)), RUN, Grants()))


def removed(on: Airflows) -> bool:
    """Whether all claims are gone, or go when no pod uses them any more."""
    return all("deletionTimestamp" in each["metadata"] for each in on.server.all(CLAIMS, NAMESPACE))


def make_a_claim(on: Airflows) -> bool:
    return on.claiming().where["claims"] == [each["metadata"]["name"] for each in on.server.all(CLAIMS, NAMESPACE)]


def remove_a_claim(on: Airflows) -> bool:
    on.backend.release_claims(on.claiming())
    return removed(on)


def reap_a_claim(on: Airflows) -> bool:
    handle = on.claiming()
    on.backend.release(handle)
    on.server.wait_until_gone(handle.where["pod"], NAMESPACE)
    on.age(CLAIMS, *handle.where["claims"])
    reap(on.backend, lambda owners: {}, ttl_s=0, unknown=True)
    return removed(on)


OPERATIONS: dict[tuple[str, str], Callable[[Airflows], bool]] = {
    ("pods", "get"): look_at_a_run,
    ("pods", "list"): look_for_a_run,
    ("pods", "watch"): follow,
    ("pods", "create"): create_a_run,
    ("pods", "patch"): cancel_and_keep,
    ("pods", "delete"): cancel,
    ("pods/log", "get"): read_the_log,
    ("pods/proxy", "get"): ask_for_progress,
    ("events", "list"): read_events,
    ("configmaps", "create"): send_a_large_request,
    ("persistentvolumeclaims", "create"): make_a_claim,
    ("persistentvolumeclaims", "delete"): remove_a_claim,
    ("persistentvolumeclaims", "list"): reap_a_claim,
}


def works(operation: Callable[[Airflows], bool], on: Airflows) -> bool:
    try:
        return operation(on)
    except LMEvalError:
        return False


def needed(right: tuple[str, str]) -> list[Rule]:
    """Return the rules with which a right is granted as documented."""
    return ROLE if right in rights(ROLE) else [*ROLE, *CLAIM_ROLE]


def without(resource: str, verb: str) -> list[Rule]:
    """Return these rules but for one verb on one resource."""
    return [
        replace(rule, verbs=tuple(each for each in rule.verbs if (name, each) != (resource, verb)), resources=(name,))
        for rule in needed((resource, verb))
        for name in rule.resources
    ]


@pytest.fixture(params=rights([*ROLE, *CLAIM_ROLE]), ids="-".join)
def right(request: pytest.FixtureRequest) -> tuple[str, str]:
    found: tuple[str, str] = request.param
    return found


def test_with_the_whole_role_it_works(server: KubeServer, airflow: Airflow, right: tuple[str, str]) -> None:
    assert works(OPERATIONS[right], Airflows(server, needed(right)))
    refused = [each for each in server.requests.log if each.status == 403]
    assert refused == []


def test_without_one_right_it_does_not(server: KubeServer, airflow: Airflow, right: tuple[str, str]) -> None:
    assert not works(OPERATIONS[right], Airflows(server, without(*right)))


def test_every_right_has_its_operation() -> None:
    assert sorted(OPERATIONS) == sorted(rights([*ROLE, *CLAIM_ROLE]))


def test_the_documentation_shows_the_same_role() -> None:
    assert rights(documented_role()) == rights(ROLE)
    (more,) = re.findall(r"Managed claims need a rule more, `(\{.*?\})`", PAGE)
    assert yaml.safe_load(more) == manifest("managed-claims/role")["rules"][0]


@pytest.mark.parametrize("missing", [None, ("pods", "list"), ("pods", "delete")])
def test_reaping_takes_list_and_delete(server: KubeServer, airflow: Airflow, missing: tuple[str, str] | None) -> None:
    on = Airflows(server, ROLE)
    name = on.start().where["pod"]

    def sweep(on: Airflows) -> bool:
        reap(on.backend, lambda owners: {}, ttl_s=0, unknown=True)
        server.wait_until_gone(name, NAMESPACE)
        return True

    on.age(PODS, name)
    assert works(sweep, Airflows(server, without(*missing) if missing else ROLE)) is (missing is None)
