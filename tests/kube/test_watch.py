"""Lists and watches: revisions, selectors, bookmarks, and the ways in which they end."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.kube import KubeServer
from tests.kube.conftest import PODS, Client, pod
from tests.kube.kinds import CONFIG_MAPS


@pytest.fixture
def admin(quiet: KubeServer, connect: Client) -> httpx.Client:
    return connect(quiet)


def watch(server: KubeServer, admin: httpx.Client, **query: Any) -> list[tuple[str, str]]:
    """Return what a watch shows before it has to wait: kind of event and name."""
    with admin.stream("GET", PODS, params={"watch": "true", **query}) as answer:
        server.faults.cut_watches()  # what was missed is sent before
        events = [json.loads(line) for line in answer.iter_lines()]
    return [(event["type"], event["object"]["metadata"].get("name", "")) for event in events]


def revision(admin: httpx.Client) -> str:
    found: str = admin.get(PODS).json()["metadata"]["resourceVersion"]
    return found


def label(admin: httpx.Client, name: str, **labels: str | None) -> httpx.Response:
    content = json.dumps({"metadata": {"labels": labels}})
    headers = {"Content-Type": "application/merge-patch+json"}
    return admin.patch(f"{PODS}/{name}", content=content, headers=headers)


def test_a_watch_resumes_where_a_list_ended(quiet: KubeServer, admin: httpx.Client) -> None:
    quiet.create(pod("before"))
    start = revision(admin)
    quiet.create(pod("after"))
    admin.delete(f"{PODS}/before")
    assert watch(quiet, admin, resourceVersion=start) == [("ADDED", "after"), ("DELETED", "before")]


def test_a_watch_without_revision_first_shows_what_there_is(quiet: KubeServer, admin: httpx.Client) -> None:
    quiet.create(pod("one"))
    assert watch(quiet, admin) == watch(quiet, admin, resourceVersion=0) == [("ADDED", "one")]


def test_every_write_has_a_higher_revision_whatever_its_kind(quiet: KubeServer, admin: httpx.Client) -> None:
    first = quiet.create(pod("one"))
    second = quiet.create({"metadata": {"name": "map"}}, CONFIG_MAPS)
    third = label(admin, "one", a="b").json()
    found = [int(one["metadata"]["resourceVersion"]) for one in (first, second, third)]
    assert found == sorted(set(found))


def test_a_change_that_changes_nothing_is_no_event(quiet: KubeServer, admin: httpx.Client) -> None:
    quiet.create(pod("one"))
    start = revision(admin)
    label(admin, "one", app="rec")
    assert watch(quiet, admin, resourceVersion=start) == []
    assert revision(admin) == start


def test_a_watch_with_a_selector_shows_who_comes_and_who_goes(quiet: KubeServer, admin: httpx.Client) -> None:
    quiet.create(pod("one"))
    start = revision(admin)
    label(admin, "one", wanted="yes")
    label(admin, "one", other="x")
    label(admin, "one", wanted=None)
    label(admin, "one", other=None)
    shown = watch(quiet, admin, resourceVersion=start, labelSelector="wanted=yes")
    assert shown == [("ADDED", "one"), ("MODIFIED", "one"), ("DELETED", "one")]


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ({"labelSelector": "team=a"}, ["a1"]),
        ({"labelSelector": "team==a,app=rec"}, ["a1"]),
        ({"labelSelector": "team!=a"}, ["b1", "bare"]),
        ({"labelSelector": "team in (a, b)"}, ["a1", "b1"]),
        ({"labelSelector": "team notin (a)"}, ["b1", "bare"]),
        ({"labelSelector": "team"}, ["a1", "b1"]),
        ({"labelSelector": "!team,app"}, ["bare"]),
        ({"fieldSelector": "metadata.name=b1"}, ["b1"]),
        ({"fieldSelector": "metadata.name!=b1,status.phase=Pending"}, ["a1", "bare"]),
        ({"fieldSelector": "spec.nodeName=node1"}, []),
        ({"fieldSelector": "metadata.namespace=default", "labelSelector": "team"}, ["a1", "b1"]),
    ],
)
def test_selectors_choose(query: dict[str, str], names: list[str], quiet: KubeServer, admin: httpx.Client) -> None:
    for name, labels in (("a1", {"team": "a"}), ("b1", {"team": "b"}), ("bare", {})):
        made = pod(name)
        made["metadata"]["labels"] |= labels
        quiet.create(made)
    assert [one["metadata"]["name"] for one in admin.get(PODS, params=query).json()["items"]] == names


@pytest.mark.parametrize(
    "query", [{"labelSelector": "a in"}, {"fieldSelector": "spec.foo=1"}, {"resourceVersion": "x"}]
)
def test_what_cannot_be_read_is_a_bad_request(query: dict[str, str], admin: httpx.Client) -> None:
    answer = admin.get(PODS, params=query)
    assert (answer.status_code, answer.json()["reason"]) == (400, "BadRequest")


def test_lists_come_in_pages_of_one_revision(quiet: KubeServer, admin: httpx.Client) -> None:
    for name in ("a", "b", "c"):
        quiet.create(pod(name))
    first = admin.get(PODS, params={"limit": 2}).json()
    quiet.create(pod("bb"))
    second = admin.get(PODS, params={"limit": 2, "continue": first["metadata"]["continue"]}).json()
    assert [one["metadata"]["name"] for page in (first, second) for one in page["items"]] == ["a", "b", "c"]
    assert first["metadata"]["remainingItemCount"] == 1
    assert first["metadata"]["resourceVersion"] == second["metadata"]["resourceVersion"]
    quiet.faults.compact()
    late = admin.get(PODS, params={"limit": 2, "continue": first["metadata"]["continue"]})
    assert (late.status_code, late.json()["reason"]) == (410, "Expired")


def test_a_list_can_show_an_exact_past_revision(quiet: KubeServer, admin: httpx.Client) -> None:
    quiet.create(pod("a"))
    then = revision(admin)
    quiet.create(pod("b"))
    admin.delete(f"{PODS}/a")
    past = admin.get(PODS, params={"resourceVersion": then, "resourceVersionMatch": "Exact"}).json()
    assert [one["metadata"]["name"] for one in past["items"]] == ["a"]
    assert past["metadata"]["resourceVersion"] == then


def test_a_revision_from_the_future_is_a_timeout(admin: httpx.Client) -> None:
    answer = admin.get(PODS, params={"resourceVersion": "999999"})
    assert (answer.status_code, answer.json()["reason"]) == (504, "Timeout")


def test_compaction_makes_old_revisions_expire(quiet: KubeServer, admin: httpx.Client) -> None:
    start = revision(admin)
    quiet.faults.compact()
    assert watch(quiet, admin, resourceVersion=start) == [("ERROR", "")]
    assert watch(quiet, admin, resourceVersion=revision(admin)) == []


def test_bookmarks_come_only_where_allowed_until_the_time_is_over(connect: Client) -> None:
    with KubeServer(runs=False, bookmark_s=0.2) as server:
        client = connect(server)
        query = {"watch": 1, "timeoutSeconds": 1, "resourceVersion": revision(client)}
        assert client.get(PODS, params=query).text == ""
        answer = client.get(PODS, params={"watch": 1, "allowWatchBookmarks": 1, "timeoutSeconds": 1})
        bookmark = json.loads(answer.text.splitlines()[0])
        recorded = {"metadata": {"resourceVersion": revision(client)}, "spec": {"containers": None}, "status": {}}
        assert bookmark == {"type": "BOOKMARK", "object": {"kind": "Pod", "apiVersion": "v1", **recorded}}


def follow(server: KubeServer, admin: httpx.Client, lines: Iterator[str]) -> str:
    """Create a pod and return its name as a running watch shows it."""
    made = server.create({**pod("x"), "metadata": {"generateName": "seen-"}})["metadata"]["name"]
    event = json.loads(next(lines))
    assert event["object"]["metadata"]["name"] == made
    return made


def test_watches_are_cut_properly_or_by_breaking_the_connection(quiet: KubeServer, admin: httpx.Client) -> None:
    query = {"watch": "true", "resourceVersion": revision(admin)}
    with admin.stream("GET", PODS, params=query) as stream:
        lines = stream.iter_lines()
        follow(quiet, admin, lines)
        assert quiet.faults.cut_watches() == 1
        assert list(lines) == []
    query["resourceVersion"] = revision(admin)
    with admin.stream("GET", PODS, params=query) as stream:
        lines = stream.iter_lines()
        follow(quiet, admin, lines)
        quiet.faults.cut_watches(abruptly=True)
        with pytest.raises(httpx.RemoteProtocolError):
            list(lines)


def test_watches_can_be_cut_again_and_again(quiet: KubeServer, admin: httpx.Client) -> None:
    quiet.faults.cut_watches_every(0.1)
    query = {"watch": "true", "resourceVersion": revision(admin), "timeoutSeconds": 20}
    for _ in range(3):
        assert admin.get(PODS, params=query).elapsed.total_seconds() < 5
    quiet.faults.cut_watches_every(None)
    assert quiet.requests.count("watch", "pods") == 3


def test_events_can_be_listed_by_their_pod(server: KubeServer, connect: Client) -> None:
    server.create(pod("one", "true"))
    server.create(pod("two", "true"))
    for name in ("one", "two"):
        server.wait_for_phase(name, "Succeeded")
    query = {"fieldSelector": "involvedObject.name=one"}
    found = connect(server).get("/api/v1/namespaces/default/events", params=query).json()["items"]
    assert {one["involvedObject"]["name"] for one in found} == {"one"}
    assert {"Scheduled", "Pulled", "Started"} <= {one["reason"] for one in found}
