"""Creating, changing and deleting objects: what is filled in, refused, kept, and when something is really gone."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from tests.kube import KubeServer
from tests.kube.conftest import PODS, Client, pod
from tests.kube.kinds import CLAIMS, CONFIG_MAPS, SECRETS, Kind

MAPS = "/api/v1/namespaces/default/configmaps"


@pytest.fixture
def admin(quiet: KubeServer, connect: Client) -> httpx.Client:
    return connect(quiet)


def patch(admin: httpx.Client, path: str, change: Any, kind: str = "merge-patch") -> httpx.Response:
    return admin.patch(path, content=json.dumps(change), headers={"Content-Type": f"application/{kind}+json"})


def refused(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["reason"]


def test_names_are_generated_on_request(admin: httpx.Client) -> None:
    made = {**pod("x"), "metadata": {"generateName": "eval-"}}
    names = {admin.post(PODS, json=made).json()["metadata"]["name"] for _ in range(3)}
    assert len(names) == 3
    assert all(name.startswith("eval-") and len(name) == 10 for name in names)


def test_a_dry_run_answers_and_stores_nothing(quiet: KubeServer, admin: httpx.Client) -> None:
    answer = admin.post(PODS, json=pod("dry"), params={"dryRun": "All"})
    assert (answer.status_code, answer.json()["spec"]["schedulerName"]) == (201, "default-scheduler")
    assert quiet.pods() == []


def test_unknown_fields_are_dropped_with_a_warning_or_refused(admin: httpx.Client) -> None:
    made = pod("x", container={"comand": ["true"]})
    answer = admin.post(PODS, json=made)
    assert answer.headers["Warning"] == '299 - "unknown field \\"spec.containers[0].comand\\""'
    assert "comand" not in answer.json()["spec"]["containers"][0]
    strict = admin.post(PODS, json={**made, "metadata": {"name": "y"}}, params={"fieldValidation": "Strict"})
    assert refused(strict) == (400, "BadRequest")
    assert strict.json()["message"].endswith('strict decoding error: unknown field "spec.containers[0].comand"')


def test_a_number_where_a_text_belongs_is_refused_before_anything_else(admin: httpx.Client) -> None:
    answer = admin.post(PODS, json=pod("x", container={"env": [{"name": "N", "value": 1}]}))
    assert refused(answer) == (400, "BadRequest")
    words = "cannot unmarshal number into Go struct field EnvVar.spec.containers.env.value of type string"
    assert words in answer.json()["message"]


@pytest.mark.parametrize(
    ("change", "field", "reason"),
    [
        ({"restartPolicy": "Sometimes"}, "spec.restartPolicy", "FieldValueNotSupported"),
        ({"activeDeadlineSeconds": 0}, "spec.activeDeadlineSeconds", "FieldValueInvalid"),
        ({"container": {"image": ""}}, "spec.containers[0].image", "FieldValueRequired"),
        ({"container": {"name": "Base"}}, "spec.containers[0].name", "FieldValueInvalid"),
        ({"container": {"env": [{"value": "x"}]}}, "spec.containers[0].env[0].name", "FieldValueRequired"),
        (
            {"container": {"volumeMounts": [{"name": "gone", "mountPath": "/x"}]}},
            "spec.containers[0].volumeMounts[0].name",
            "FieldValueNotFound",
        ),
        (
            {"container": {"resources": {"requests": {"cpu": "2"}, "limits": {"cpu": "1"}}}},
            "spec.containers[0].resources.requests",
            "FieldValueInvalid",
        ),
        (
            {"container": {"resources": {"requests": {"nvidia.com/gpu": "1"}}}},
            "spec.containers[0].resources.limits",
            "FieldValueRequired",
        ),
        ({"volumes": [{"name": "a"}, {"name": "a"}]}, "spec.volumes[1].name", "FieldValueDuplicate"),
    ],
)
def test_pods_that_cannot_be_are_refused_by_field(
    change: dict[str, Any], field: str, reason: str, admin: httpx.Client
) -> None:
    answer = admin.post(PODS, json=pod("x", **change))
    assert refused(answer) == (422, "Invalid")
    assert [(one["field"], one["reason"]) for one in answer.json()["details"]["causes"]] == [(field, reason)]


def test_labels_have_to_be_labels(admin: httpx.Client) -> None:
    made = pod("x")
    made["metadata"]["labels"] = {"run": "a/b", "long": "x" * 64}
    answer = admin.post(PODS, json=made)
    assert refused(answer) == (422, "Invalid")
    assert len(answer.json()["details"]["causes"]) == 2
    assert answer.json()["message"].startswith('Pod "x" is invalid: [metadata.labels: ')


def test_sizes_are_limited(admin: httpx.Client) -> None:
    def post(size: int) -> httpx.Response:
        return admin.post(MAPS, json={"metadata": {"name": "big"}, "data": {"a": "x" * size}})

    assert refused(post(1024 * 1024 + 1)) == (422, "Invalid")
    assert refused(post(3 * 1024 * 1024)) == (413, "RequestEntityTooLarge")
    assert post(1024 * 1024).status_code == 201


def test_a_missing_service_account_is_forbidden(admin: httpx.Client) -> None:
    answer = admin.post(PODS, json=pod("x", serviceAccountName="trainer"))
    assert refused(answer) == (403, "Forbidden")
    assert 'serviceaccount "trainer" not found' in answer.json()["message"]


def test_secrets_keep_text_encoded(quiet: KubeServer) -> None:
    made = quiet.create({"metadata": {"name": "s"}, "stringData": {"token": "abc"}}, SECRETS)
    assert made["data"] == {"token": "YWJj"}
    assert "stringData" not in made


# -- changes


def test_a_put_needs_the_present_revision(quiet: KubeServer, admin: httpx.Client) -> None:
    made = quiet.create({"metadata": {"name": "m"}, "data": {"a": "1"}}, CONFIG_MAPS)
    assert admin.put(f"{MAPS}/m", json={**made, "data": {"a": "2"}}).json()["data"] == {"a": "2"}
    late = admin.put(f"{MAPS}/m", json={**made, "data": {"a": "3"}})
    assert refused(late) == (409, "Conflict")
    assert late.json()["message"] == (
        'Operation cannot be fulfilled on configmaps "m": the object has been modified; please apply your changes to the '
        "latest version and try again"
    )
    assert admin.put(f"{MAPS}/m", json={"metadata": {"name": "m"}, "data": {"a": "4"}}).status_code == 200
    assert refused(admin.put(f"{MAPS}/m", json={"metadata": {"name": "other"}})) == (400, "BadRequest")


def test_a_patch_may_carry_the_revision_it_expects(quiet: KubeServer, admin: httpx.Client) -> None:
    old = quiet.create(pod("x"))["metadata"]["resourceVersion"]
    patch(admin, f"{PODS}/x", {"metadata": {"labels": {"a": "1"}}})
    change = {"metadata": {"labels": {"a": "2"}, "resourceVersion": old}}
    assert refused(patch(admin, f"{PODS}/x", change)) == (409, "Conflict")


def test_a_merge_patch_replaces_lists_and_a_strategic_one_merges_them_by_key(
    quiet: KubeServer, admin: httpx.Client
) -> None:
    quiet.create(pod("x"))
    by_name = {"spec": {"containers": [{"name": "base", "image": "other:1"}]}}
    merged = patch(admin, f"{PODS}/x", by_name, "strategic-merge-patch").json()
    assert merged["spec"]["containers"][0]["image"] == "other:1"
    assert merged["spec"]["containers"][0]["command"] == ["sleep", "60"]
    assert refused(patch(admin, f"{PODS}/x", by_name)) == (
        422,
        "Invalid",
    )  # without its command it is another container


def test_conditions_are_merged_by_type_in_the_status_only(quiet: KubeServer, admin: httpx.Client) -> None:
    quiet.create(pod("x"))
    for kind in ("Ready", "Initialized"):
        change = {"status": {"conditions": [{"type": kind, "status": "True"}]}}
        before = admin.get(f"{PODS}/x").json()["status"]
        assert patch(admin, f"{PODS}/x", change, "strategic-merge-patch").json()["status"] == before
        patch(admin, f"{PODS}/x/status", change, "strategic-merge-patch")
    found = admin.get(f"{PODS}/x").json()["status"]["conditions"]
    assert [one["type"] for one in found] == ["Ready", "Initialized"]


def test_the_status_is_written_through_its_own_endpoint(quiet: KubeServer, admin: httpx.Client) -> None:
    made = quiet.create(pod("x"))
    change = {"status": {"phase": "Running"}, "metadata": {"labels": {"a": "1"}}}
    ignored = patch(admin, f"{PODS}/x", change).json()
    assert (ignored["status"]["phase"], ignored["metadata"]["labels"]["a"]) == ("Pending", "1")
    written = patch(admin, f"{PODS}/x/status", {"status": {"phase": "Running"}, "spec": {"nodeName": "n"}}).json()
    assert written["status"] == {**made["status"], "phase": "Running"}
    assert "nodeName" not in written["spec"]
    put = {**admin.get(f"{PODS}/x/status").json(), "status": {"phase": "Failed"}}
    assert admin.put(f"{PODS}/x/status", json=put).json()["status"] == {"phase": "Failed"}


def test_a_deadline_can_be_set_and_lowered_but_not_raised(quiet: KubeServer, admin: httpx.Client) -> None:
    quiet.create(pod("x"))
    for seconds, status in ((60, 200), (1, 200), (90, 422)):
        assert patch(admin, f"{PODS}/x", {"spec": {"activeDeadlineSeconds": seconds}}).status_code == status


def test_other_patches_are_refused(quiet: KubeServer, admin: httpx.Client) -> None:
    quiet.create(pod("x"))
    assert refused(patch(admin, f"{PODS}/x", {}, "apply-patch")) == (415, "UnsupportedMediaType")
    wrong = [{"op": "replace", "path": "/metadata/labels/none", "value": "1"}]
    assert patch(admin, f"{PODS}/x", wrong, "json-patch").status_code == 422


# -- deletion


def test_a_pod_that_no_node_has_goes_at_once(quiet: KubeServer, admin: httpx.Client) -> None:
    quiet.create(pod("x"))
    assert admin.delete(f"{PODS}/x").json()["metadata"]["name"] == "x"
    assert admin.get(f"{PODS}/x").status_code == 404


def test_a_bound_pod_waits_for_its_kubelet_unless_forced(quiet: KubeServer, admin: httpx.Client) -> None:
    quiet.create(pod("x", nodeName="node1", terminationGracePeriodSeconds=30))
    first = admin.delete(f"{PODS}/x").json()["metadata"]
    assert (first["deletionGracePeriodSeconds"], first["generation"]) == (30, 2)
    longer = admin.delete(f"{PODS}/x", params={"gracePeriodSeconds": 90}).json()["metadata"]
    shorter = admin.delete(f"{PODS}/x", params={"gracePeriodSeconds": 7}).json()["metadata"]
    assert [one["deletionGracePeriodSeconds"] for one in (longer, shorter)] == [30, 7]
    assert admin.delete(f"{PODS}/x", params={"gracePeriodSeconds": 0}).status_code == 200
    assert quiet.pods() == []


def test_options_in_the_body_make_those_in_the_query_void(quiet: KubeServer, admin: httpx.Client) -> None:
    uid = quiet.create(pod("x", nodeName="node1", terminationGracePeriodSeconds=30))["metadata"]["uid"]
    body = {"preconditions": {"uid": uid}}
    answer = admin.request("DELETE", f"{PODS}/x", params={"gracePeriodSeconds": 0}, json=body)
    assert answer.json()["metadata"]["deletionGracePeriodSeconds"] == 30


def test_preconditions_protect_a_namesake(quiet: KubeServer, admin: httpx.Client) -> None:
    quiet.create(pod("x"))
    for wanted in ({"uid": "other"}, {"resourceVersion": "1"}):
        answer = admin.request("DELETE", f"{PODS}/x", json={"preconditions": wanted})
        assert refused(answer) == (409, "Conflict")
        assert "in the precondition" in answer.json()["message"]
    assert len(quiet.pods()) == 1


def test_finalizers_hold_an_object_until_the_last_is_taken_off(quiet: KubeServer, admin: httpx.Client) -> None:
    made = {"metadata": {"name": "m", "finalizers": ["test/keep"]}}
    quiet.create(made, CONFIG_MAPS)
    assert "deletionTimestamp" in admin.delete(f"{MAPS}/m").json()["metadata"]
    more = {"metadata": {"finalizers": ["test/keep", "test/more"]}}
    assert refused(patch(admin, f"{MAPS}/m", more)) == (422, "Invalid")
    assert admin.get(f"{MAPS}/m").status_code == 200
    patch(admin, f"{MAPS}/m", {"metadata": {"finalizers": None}})
    assert admin.get(f"{MAPS}/m").status_code == 404


def test_what_is_deleted_answers_as_its_kind_does(quiet: KubeServer, admin: httpx.Client) -> None:
    uid = quiet.create({"metadata": {"name": "m"}}, CONFIG_MAPS)["metadata"]["uid"]
    answer = admin.delete(f"{MAPS}/m").json()
    assert answer["status"] == "Success"
    assert answer["details"] == {"name": "m", "kind": "configmaps", "uid": uid}


def test_a_selection_is_deleted_at_once(quiet: KubeServer, admin: httpx.Client) -> None:
    for name in ("a", "b"):
        quiet.create(pod(name))
    quiet.create({**pod("c"), "metadata": {"name": "c"}})
    gone = admin.delete(PODS, params={"labelSelector": "app=rec"}).json()
    assert [one["metadata"]["name"] for one in gone["items"]] == ["a", "b"]
    assert [one["metadata"]["name"] for one in quiet.pods()] == ["c"]


def test_what_a_pod_owns_goes_with_it(quiet: KubeServer, admin: httpx.Client) -> None:
    uid = quiet.create(pod("x"))["metadata"]["uid"]
    owner = {"apiVersion": "v1", "kind": "Pod", "name": "x", "uid": uid}
    quiet.create({"metadata": {"name": "m", "ownerReferences": [owner]}}, CONFIG_MAPS)
    assert admin.get(f"{MAPS}/m").status_code == 200
    admin.delete(f"{PODS}/x")
    quiet.wait(lambda: admin.get(f"{MAPS}/m").status_code == 404)


def test_what_is_owned_by_nobody_that_exists_is_collected(quiet: KubeServer, admin: httpx.Client) -> None:
    owner = {"apiVersion": "v1", "kind": "Pod", "name": "x", "uid": "never-was"}
    quiet.create({"metadata": {"name": "m", "ownerReferences": [owner]}}, CONFIG_MAPS)
    quiet.wait(lambda: admin.get(f"{MAPS}/m").status_code == 404)


def test_a_namespace_goes_with_all_that_is_in_it(quiet: KubeServer, admin: httpx.Client) -> None:
    quiet.create({**pod("x"), "metadata": {"name": "x", "namespace": "rec"}})
    held = {"metadata": {"name": "m", "namespace": "rec", "finalizers": ["test/keep"]}}
    quiet.create(held, CONFIG_MAPS)
    answer = admin.delete("/api/v1/namespaces/rec").json()
    assert answer["status"]["phase"] == "Terminating"
    quiet.wait(lambda: not quiet.pods("rec"))
    refusal = admin.post("/api/v1/namespaces/rec/pods", json=pod("y"))
    assert refused(refusal) == (403, "Forbidden")
    assert "it is being terminated" in refusal.json()["message"]
    patch(admin, "/api/v1/namespaces/rec/configmaps/m", {"metadata": {"finalizers": None}})
    quiet.wait(lambda: admin.get("/api/v1/namespaces/rec").status_code == 404)


def test_a_custom_resource_is_one_more_kind(quiet: KubeServer, admin: httpx.Client) -> None:
    path = "/apis/example.org/v1/namespaces/default/jobs"
    assert admin.get(path).text == "404 page not found\n"
    quiet.register(Kind("Job", "jobs", "example.org", built_in=False, has_status=True))
    made = {"apiVersion": "example.org/v1", "kind": "Job", "metadata": {"name": "j"}, "spec": {"any": 1}}
    created = admin.post(path, json=made).json()
    assert (created["metadata"]["generation"], created["spec"]) == (1, {"any": 1})
    patch(admin, f"{path}/j/status", {"status": {"state": "Running"}})
    (listed,) = admin.get(path).json()["items"]
    assert (listed["kind"], listed["status"]) == ("Job", {"state": "Running"})
    changed = patch(admin, f"{path}/j", {"spec": {"any": 2}, "status": {"state": "x"}}).json()
    assert (changed["metadata"]["generation"], changed["status"]) == (2, {"state": "Running"})
    assert refused(patch(admin, f"{path}/j", {}, "strategic-merge-patch")) == (415, "UnsupportedMediaType")
    assert refused(admin.put(f"{path}/j", json=made)) == (422, "Invalid")
    gone = admin.delete(f"{path}/j").json()
    assert (gone["status"], gone["details"]["group"]) == ("Success", "example.org")
    assert admin.get(f"{path}/j").json()["message"] == 'jobs.example.org "j" not found'


def claim(name: str, **spec: Any) -> dict[str, Any]:
    fields = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}, **spec}
    return {"metadata": {"name": name}, "spec": fields}


def test_claims_are_bound_where_there_is_a_storage_class(quiet: KubeServer, admin: httpx.Client) -> None:
    path = "/api/v1/namespaces/default/persistentvolumeclaims"
    quiet.create(claim("bound"), CLAIMS)
    quiet.wait(lambda: admin.get(f"{path}/bound").json()["status"]["phase"] == "Bound")
    quiet.faults.no_storage_class()
    quiet.create(claim("waits"), CLAIMS)
    quiet.create(claim("bound-by-name", storageClassName=""), CLAIMS)
    assert admin.get(f"{path}/waits").json()["status"]["phase"] == "Pending"
    assert "deletionTimestamp" in admin.delete(f"{path}/bound").json()["metadata"]
    quiet.wait(lambda: admin.get(f"{path}/bound").status_code == 404)
