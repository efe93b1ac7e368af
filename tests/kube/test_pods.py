"""Pods run as they would on a node: what containers see, what they leave behind, and how they end."""

from __future__ import annotations

import base64
import dataclasses
import json
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from tests.kube import Image, KubeServer, Script
from tests.kube.conftest import IMAGE, PODS, Client, pod, shell
from tests.kube.kinds import CLAIMS, CONFIG_MAPS, SECRETS, VOLUMES
from tests.support.certificates import Authority

ROOT = Path(__file__).resolve().parents[2]


def end(server: KubeServer, made: dict[str, Any], admin: httpx.Client) -> tuple[dict[str, Any], str]:
    """Run a pod to its end and return its container's final state and log."""
    server.create(made)
    name = made["metadata"]["name"]
    found = server.wait_for_phase(name, "Succeeded", "Failed", timeout=20)
    return terminated(found), admin.get(f"{PODS}/{name}/log", params={"container": "base"}).text


def terminated(found: dict[str, Any]) -> dict[str, Any]:
    state: dict[str, Any] = found["status"]["containerStatuses"][0]["state"]["terminated"]
    return state


def mounts(**paths: str) -> dict[str, Any]:
    return {"volumeMounts": [{"name": name, "mountPath": path} for name, path in paths.items()]}


# -- what containers see


def test_an_init_container_brings_files_that_the_next_one_runs(server: KubeServer, admin: httpx.Client) -> None:
    code = ROOT / "airflow_provider_lmeval"
    server.images["bare:1"] = Image(path=server.images[IMAGE].path, hides=(code,))
    brings = {
        "name": "bring",
        "image": IMAGE,
        "command": ["cp", "-r", str(code), "/opt/driver/"],
        **mounts(code="/opt/driver"),
    }
    runs = {"image": "bare:1", "env": [{"name": "PYTHONPATH", "value": "/opt/driver"}], **mounts(code="/opt/driver")}
    command = "python", "-m", "airflow_provider_lmeval.driver", "/opt/driver/none.json", "--run-dir", "/run-dir"
    volumes = [{"name": "code", "emptyDir": {}}, {"name": "run", "emptyDir": {}}]
    made = pod("driver", *command, container=runs, initContainers=[brings], volumes=volumes)
    made["spec"]["containers"][0]["volumeMounts"].append({"name": "run", "mountPath": "/run-dir"})
    state, log = end(server, made, admin)
    assert state["exitCode"] == 2, log  # no such request: the driver's own word for it, so it ran
    assert not Path("/opt/driver").exists()


def test_what_an_image_lacks_is_hidden(server: KubeServer, admin: httpx.Client) -> None:
    server.images["bare:1"] = dataclasses.replace(server.images[IMAGE], hides=(ROOT / "airflow_provider_lmeval",))
    imports = "import airflow_provider_lmeval.wire"
    state, log = end(server, pod("bare", "python", "-c", imports, container={"image": "bare:1"}), admin)
    assert (state["exitCode"], "No module named" in log) == (1, True)


def test_what_an_image_needs_stays_where_a_volume_covers_it(
    server: KubeServer, admin: httpx.Client, tmp_path: Path
) -> None:
    (tmp_path / "checkout" / "hidden").mkdir(parents=True)
    (tmp_path / "checkout" / "hidden" / "file").write_text("x")
    (tmp_path / "checkout" / "file").write_text("there\n")
    image = Image(stays=(tmp_path / "checkout",), hides=(tmp_path / "checkout" / "hidden",))
    server.images["below:1"] = image
    script = f"cd {tmp_path}; cat checkout/file; ls checkout/hidden; echo own > own; cat own; echo x > checkout/own"
    covered = {"image": "below:1", **mounts(scratch=str(tmp_path))}
    state, log = end(
        server, shell("covered", script, container=covered, volumes=[{"name": "scratch", "emptyDir": {}}]), admin
    )
    assert (state["exitCode"] != 0, log.splitlines()[:2]) == (True, ["there", "own"])
    assert "Read-only file system" in log
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkout"]


def test_the_environment_comes_from_the_pod_and_nowhere_else(server: KubeServer, admin: httpx.Client) -> None:
    server.create({"metadata": {"name": "s"}, "stringData": {"token": "abc"}}, SECRETS)
    server.create({"metadata": {"name": "m"}, "data": {"key": "value", "other": "thing"}}, CONFIG_MAPS)
    env = [
        {"name": "PLAIN", "value": "one"},
        {"name": "JOINED", "value": "$(PLAIN)-two $$(PLAIN) $(UNKNOWN)"},
        {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "s", "key": "token"}}},
        {"name": "MAYBE", "valueFrom": {"secretKeyRef": {"name": "none", "key": "x", "optional": True}}},
        {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
        {"name": "LABEL", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['app']"}}},
    ]
    container = {"env": env, "envFrom": [{"configMapRef": {"name": "m"}, "prefix": "M_"}], "args": ["$(PLAIN)"]}
    code = "import json, os, sys; print(json.dumps([dict(os.environ), sys.argv[1:]]))"
    _, log = end(server, pod("env", "python", "-c", code, container=container), admin)
    found, arguments = json.loads(log)
    assert arguments == ["one"]
    assert found["JOINED"] == "one-two $(PLAIN) $(UNKNOWN)"
    assert (found["TOKEN"], found["M_key"], found["M_other"], found["LABEL"]) == ("abc", "value", "thing", "rec")
    assert found["IP"] == server.pods()[0]["status"]["podIP"]
    assert found["HOSTNAME"] == "env"
    assert not {"MAYBE", "AIRFLOW_HOME", "HF_HOME"} & set(found)


def test_a_missing_secret_makes_a_container_wait_for_it(server: KubeServer) -> None:
    env = [{"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "late", "key": "token"}}}]
    server.create(pod("waits", "true", container={"env": env}))
    waiting = server.wait(lambda: _waiting(server, "waits", "CreateContainerConfigError"))
    assert waiting["message"] == 'secret "late" not found'
    server.create({"metadata": {"name": "late"}, "stringData": {"token": "x"}}, SECRETS)
    server.wait_for_phase("waits", "Succeeded")


def _waiting(server: KubeServer, name: str, reason: str) -> dict[str, Any] | None:
    statuses = (server.pod(name) or {"status": {}})["status"].get("containerStatuses") or [{"state": {}}]
    state: dict[str, Any] = statuses[0]["state"].get("waiting") or {}
    return state if state.get("reason") == reason else None


def test_volumes_of_all_kinds_are_mounted(server: KubeServer, admin: httpx.Client, tmp_path: Path) -> None:
    server.images["plain:1"] = Image(stays=())
    (tmp_path / "model.bin").write_text("weights")
    storage = {
        "accessModes": ["ReadWriteOnce"],
        "capacity": {"storage": "1Gi"},
        "hostPath": {"path": str(tmp_path / "pv")},
    }
    server.create({"metadata": {"name": "pv"}, "spec": {**storage, "storageClassName": "local"}}, VOLUMES)
    wanted = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    server.create({"metadata": {"name": "results"}, "spec": {**wanted, "storageClassName": "local"}}, CLAIMS)
    server.create({"metadata": {"name": "m"}, "data": {"a.json": "{}"}}, CONFIG_MAPS)
    volumes = [
        {"name": "model", "hostPath": {"path": str(tmp_path), "type": "Directory"}},
        {"name": "map", "configMap": {"name": "m", "items": [{"key": "a.json", "path": "deep/b.json"}]}},
        {"name": "claim", "persistentVolumeClaim": {"claimName": "results"}},
        {"name": "tmp", "emptyDir": {}},
        {"name": "shm", "emptyDir": {"medium": "Memory"}},
    ]
    paths = mounts(model="/models/tiny", map="/etc/eval", claim="/mnt/out", tmp="/tmp", shm="/dev/shm")
    paths["volumeMounts"][0]["readOnly"] = True
    script = (
        "cat /models/tiny/model.bin /etc/eval/deep/b.json; touch /models/tiny/x 2>&1; ls -A /tmp /dev/shm; "
        "echo score > /mnt/out/result; touch /tmp/of-the-volume"
    )
    state, log = end(server, shell("vols", script, volumes=volumes, container={"image": "plain:1", **paths}), admin)
    assert state["exitCode"] == 0, log
    assert log.startswith("weights{}")
    assert "Read-only file system" in log
    assert log.endswith(("/dev/shm:\n\n/tmp:\n", "/tmp:\n\n/dev/shm:\n"))
    assert (tmp_path / "pv" / "result").read_text() == "score\n"
    assert not any(Path(path).exists() for path in ("/models", "/etc/eval", "/mnt/out", "/tmp/of-the-volume"))


def test_any_user_id_has_no_name_and_a_read_only_root_is_read_only(server: KubeServer, admin: httpx.Client) -> None:
    security = {"runAsUser": 1000650000, "runAsNonRoot": True, "readOnlyRootFilesystem": True}
    script = "exec 2>&1; id -u; id -un; touch /home/x; touch /tmp/ok && echo written"
    made = shell("any", script, volumes=[{"name": "tmp", "emptyDir": {}}], container=mounts(tmp="/tmp"))
    made["spec"]["containers"][0]["securityContext"] = security
    _, log = end(server, made, admin)
    assert log.startswith("1000650000\n")
    assert "cannot find name for user ID" in log
    assert "Read-only file system" in log
    assert log.endswith("written\n")


def test_what_a_container_writes_outside_its_volumes_is_gone_with_it(server: KubeServer, admin: httpx.Client) -> None:
    script = (
        "exec 2>&1; pwd; cd /tmp; echo x > of-the-container; cat of-the-container; touch /var/x /data/x; ls /etc/passwd"
    )
    _, log = end(server, shell("writes", script, container={"workingDir": "/data/deep"}), admin)
    assert log.startswith("/data/deep\nx\n"), log
    assert log.count("Read-only file system") == 2
    assert log.endswith("/etc/passwd\n")
    assert not any(Path(path).exists() for path in ("/tmp/of-the-container", "/data/deep", "/var/x"))


def test_an_image_that_runs_as_root_is_refused_where_root_is_not_wanted(server: KubeServer) -> None:
    server.images["root:1"] = Image(user=0)
    server.create(pod("root", container={"image": "root:1"}, securityContext={"runAsNonRoot": True}))
    waiting = server.wait(lambda: _waiting(server, "root", "CreateContainerConfigError"))
    assert "container has runAsNonRoot and image will run as root" in waiting["message"]


def test_two_pods_listen_on_one_port_and_loopback_is_not_reachable(server: KubeServer, admin: httpx.Client) -> None:
    code = (
        "import http.server, sys\n"
        "class H(http.server.BaseHTTPRequestHandler):\n"
        "    def do_GET(self):\n"
        "        text = repr((sys.argv[2], self.path, dict(self.headers))).encode()\n"
        "        self.send_response(200); self.end_headers(); self.wfile.write(text)\n"
        "http.server.HTTPServer((sys.argv[1], 8080), H).serve_forever()\n"
    )
    for name, host in (("one", "0.0.0.0"), ("two", "0.0.0.0"), ("lo", "127.0.0.1")):
        server.create(pod(name, "python", "-c", code, host, name))
        server.wait_for_phase(name, "Running")
    headers = {"X-LMEval-Token": "t"}
    for name in ("one", "two"):
        path = f"{PODS}/{name}:8080/proxy/v1/a%2Fb?x=1"
        server.wait(lambda path=path: admin.get(path).status_code == 200)
        shown = admin.get(path, headers=headers).text
        assert f"('{name}', '/v1/a%2Fb?x=1'" in shown
        assert "'X-LMEval-Token': 't'" in shown
        assert "uthorization" not in shown
    assert admin.get(f"{PODS}/lo:8080/proxy/").status_code == 503


def test_tls_to_a_pod_is_asked_for_by_name_and_checks_nobodys_certificate(
    server: KubeServer, admin: httpx.Client, tmp_path: Path
) -> None:
    signed = {
        file.name: base64.b64encode(file.read_bytes()).decode()
        for file in Authority().write(tmp_path / "x", "y").iterdir()
    }
    server.create({"metadata": {"name": "tls"}, "data": signed}, SECRETS)
    code = (
        "import http.server, ssl, sys\n"
        "class H(http.server.BaseHTTPRequestHandler):\n"
        "    def do_GET(self):\n"
        "        self.send_response(200); self.end_headers(); self.wfile.write(self.path.encode())\n"
        "context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)\n"
        "context.load_cert_chain('/tls/tls.crt', '/tls/tls.key')\n"
        "context.verify_mode, asked = (ssl.CERT_REQUIRED if 'mutual' in sys.argv else ssl.CERT_NONE), '/tls/ca.crt'\n"
        "context.load_verify_locations(asked)\n"
        "server = http.server.ThreadingHTTPServer(('0.0.0.0', 8443), H)\n"
        "server.socket = context.wrap_socket(server.socket, server_side=True)\n"
        "print('ready', flush=True)\n"
        "server.serve_forever()\n"
    )
    volumes = [{"name": "tls", "secret": {"secretName": "tls"}}]
    for name in ("speaks", "mutual"):
        server.create(pod(name, "python", "-c", code, name, container=mounts(tls="/tls"), volumes=volumes))
        server.wait(lambda name=name: "ready" in admin.get(f"{PODS}/{name}/log").text)

    answer = admin.get(f"{PODS}/https:speaks:8443/proxy/v1/status?x=1")
    assert (answer.status_code, answer.text) == (200, "/v1/status?x=1")
    for other in ("http:speaks:8443", "speaks:8443", "https:mutual:8443"):
        refused = admin.get(f"{PODS}/{other}/proxy/v1/status")
        assert (refused.status_code, refused.json()["reason"]) == (503, "ServiceUnavailable"), other
    for other in ("ftp:speaks:8443", "a:https:speaks:8443", "https::8443"):
        assert admin.get(f"{PODS}/{other}/proxy/").json()["message"] == f'invalid pod request "{other}"'


def test_a_port_of_this_machine_can_be_made_reachable(connect: Client) -> None:
    image = Image(path=(Path(sys.executable).parent,))
    with KubeServer({IMAGE: image}) as outside:
        port = int(outside.url.rpartition(":")[2])
        code = "import urllib.request, sys; print(urllib.request.urlopen(sys.argv[1]).read().decode())"
        with KubeServer({IMAGE: image}, reachable=frozenset({port})) as server:
            made = pod("calls", "python", "-c", code, f"http://127.0.0.1:{port}/healthz")
            state, log = end(server, made, connect(server))
    assert (state["exitCode"], log) == (0, "ok\n")


def test_a_pod_without_address_or_with_a_plain_path_is_told_so(server: KubeServer, admin: httpx.Client) -> None:
    server.create(pod("none", container={"image": "absent:1"}, nodeSelector={"gpu": "a100"}))
    answer = admin.get(f"{PODS}/none:80/proxy/x")
    assert (answer.status_code, answer.json()["message"]) == (400, "address not allowed")
    assert admin.get(f"{PODS}/none:80/proxy").headers["Location"] == f"{PODS}/none:80/proxy/"


# -- what they leave behind


def test_the_tail_of_the_termination_message_is_kept(server: KubeServer, admin: httpx.Client) -> None:
    script = "printf 'a%.0s' $(seq 5000) > /dev/termination-log; printf END >> /dev/termination-log"
    state, _ = end(server, shell("long", script), admin)
    assert (len(state["message"]), state["message"][-4:]) == (4096, "aEND")


def test_the_message_file_is_written_in_place_or_not_at_all(server: KubeServer, admin: httpx.Client) -> None:
    script = "echo -n first > /dev/termination-log; echo second > /tmp/m; mv /tmp/m /dev/termination-log"
    state, log = end(server, shell("rename", script), admin)
    assert (state["exitCode"], state["message"]) == (1, "first"), log


def test_the_message_survives_a_kill_and_the_log_stands_in_on_errors(server: KubeServer, admin: httpx.Client) -> None:
    server.create(shell("killed", "echo -n so-far > /dev/termination-log; echo ready; sleep 60 & wait"))
    server.wait(lambda: admin.get(f"{PODS}/killed/log").text == "ready\n")
    server.faults.oom_kill("killed")
    state = terminated(server.wait_for_phase("killed", "Failed"))
    assert (state["exitCode"], state["reason"], state["message"]) == (137, "OOMKilled", "so-far")
    policy = {"terminationMessagePolicy": "FallbackToLogsOnError"}
    state, _ = end(server, shell("falls", "echo why; exit 9", container=policy), admin)
    assert (state["exitCode"], state["message"]) == (9, "why\n")


def test_a_killed_container_is_an_error_and_no_lack_of_memory(server: KubeServer, admin: httpx.Client) -> None:
    server.create(shell("x", "echo ready; sleep 60; echo $?"))
    server.wait(lambda: admin.get(f"{PODS}/x/log").text == "ready\n")
    server.faults.kill("x")
    state = terminated(server.wait_for_phase("x", "Failed"))
    assert (state["exitCode"], state["reason"]) == (137, "Error")


def test_a_log_is_followed_to_the_end_of_the_container(server: KubeServer, admin: httpx.Client) -> None:
    server.create(shell("talks", "for i in 1 2 3; do echo $i; sleep 0.1; done"))
    server.wait_for_phase("talks", "Running")
    with admin.stream("GET", f"{PODS}/talks/log", params={"follow": "true"}) as stream:
        assert list(stream.iter_lines()) == ["1", "2", "3"]
    assert admin.get(f"{PODS}/talks/log", params={"limitBytes": 3}).text == "1\n2"


def test_rotation_loses_what_was_written_before(connect: Client) -> None:
    image = Image(path=(Path(sys.executable).parent,))
    with KubeServer({IMAGE: image}, log_bytes=4000) as server:
        _, log = end(server, shell("much", "for i in $(seq 200); do echo line $i; done"), connect(server))
    assert log.endswith("line 200\n")
    assert "line 1\n" not in log


def test_a_container_of_several_has_to_be_named(server: KubeServer, admin: httpx.Client) -> None:
    side = {"name": "side", "image": IMAGE, "command": ["echo", "side"]}
    made = shell("both", "echo base", initContainers=[{**side, "name": "first"}])
    made["spec"]["containers"].append(side)
    server.create(made)
    server.wait_for_phase("both", "Succeeded")
    answer = admin.get(f"{PODS}/both/log")
    choice = "choose one of: [base side] or one of the init containers: [first]"
    assert answer.json()["message"] == f"a container name must be specified for pod both, {choice}"
    assert admin.get(f"{PODS}/both/log", params={"container": "first"}).text == "side\n"


# -- how they end


def test_a_pod_ends_when_its_last_container_does(server: KubeServer) -> None:
    made = shell("sidecar", "exit 3")
    made["spec"]["containers"].append({"name": "side", "image": IMAGE, "command": ["sleep", "1"]})
    server.create(made)
    server.wait(
        lambda: (
            "terminated"
            in ((server.pod("sidecar") or {})["status"].get("containerStatuses") or [{"state": {}}])[0]["state"]
        )
    )
    assert server.phase("sidecar") == "Running"
    assert server.wait_for_phase("sidecar", "Failed")["status"]["containerStatuses"][1]["ready"] is False


def test_a_failed_init_container_fails_the_pod(server: KubeServer) -> None:
    init = {"name": "init", "image": IMAGE, "command": ["sh", "-c", "exit 5"]}
    server.create(pod("init", initContainers=[init]))
    status = server.wait_for_phase("init", "Failed")["status"]
    assert status["initContainerStatuses"][0]["state"]["terminated"]["exitCode"] == 5
    assert status["containerStatuses"][0]["state"] == {"waiting": {"reason": "PodInitializing"}}


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (["nope"], 'exec: "nope": executable file not found in $PATH'),
        (["/no/such"], 'exec: "/no/such": no such file or directory'),
        (["echo", "x" * 140_000], "argument list too long"),
    ],
)
def test_what_cannot_be_executed_ends_at_once(
    command: list[str], words: str, server: KubeServer, admin: httpx.Client
) -> None:
    server.create(pod("x", *command))
    state = terminated(server.wait_for_phase("x", "Failed"))
    assert (state["exitCode"], state["reason"]) == (128, "StartError")
    assert words in state["message"]


def test_the_first_process_ignores_a_signal_it_does_not_handle(server: KubeServer, admin: httpx.Client) -> None:
    server.create(shell("deaf", "while :; do sleep 0.1; done", terminationGracePeriodSeconds=2))
    hears = "trap 'exit 0' TERM; echo ready; while :; do sleep 0.1; done"
    server.create(shell("hears", hears, terminationGracePeriodSeconds=2))
    server.wait(lambda: admin.get(f"{PODS}/hears/log").text == "ready\n")
    server.wait_for_phase("deaf", "Running")
    took = {}
    for name in ("hears", "deaf"):
        started = time.monotonic()
        admin.delete(f"{PODS}/{name}")
        server.wait_until_gone(name)
        took[name] = time.monotonic() - started
    assert took["hears"] < 1.9 <= took["deaf"]


def test_a_shorter_deletion_shortens_the_grace(server: KubeServer, admin: httpx.Client) -> None:
    server.create(shell("deaf", "while :; do sleep 0.1; done", terminationGracePeriodSeconds=60))
    server.wait_for_phase("deaf", "Running")
    admin.delete(f"{PODS}/deaf")
    assert server.phase("deaf") == "Running"
    admin.delete(f"{PODS}/deaf", params={"gracePeriodSeconds": 1})
    server.wait_until_gone("deaf")


def test_a_forced_deletion_leaves_no_process(server: KubeServer, admin: httpx.Client) -> None:
    server.create(shell("x", "sleep 4321 & sleep 4321"))
    server.wait(lambda: _running("4321") == 2)
    admin.delete(f"{PODS}/x", params={"gracePeriodSeconds": 0})
    assert server.phase("x") is None
    server.wait(lambda: _running("4321") == 0)


def _running(argument: str) -> int:
    return sum(argument in (one.info["cmdline"] or []) for one in psutil.process_iter(["cmdline"]))


def test_leaving_the_server_leaves_nothing(connect: Client) -> None:
    with KubeServer({IMAGE: Image()}) as server:
        server.create(shell("x", "setsid sleep 4322 & sleep 4322"))
        server.wait(lambda: _running("4322") >= 2)
        home = server.cluster.home
    assert _running("4322") == 0
    assert not home.exists()


def test_a_deadline_set_later_stops_a_pod_and_keeps_it(server: KubeServer, admin: httpx.Client) -> None:
    server.create(shell("late", "trap 'exit 7' TERM; while :; do sleep 0.05; done"))
    server.wait_for_phase("late", "Running")
    content, headers = '{"spec": {"activeDeadlineSeconds": 1}}', {"Content-Type": "application/merge-patch+json"}
    admin.patch(f"{PODS}/late", content=content, headers=headers)
    found = server.wait_for_phase("late", "Failed")
    assert (found["status"]["reason"], terminated(found)["exitCode"]) == ("DeadlineExceeded", 7)


def test_a_failing_container_is_restarted_where_the_pod_says_so(connect: Client) -> None:
    with KubeServer({IMAGE: Image()}, restart_backoff_s=0.1) as server:
        script = "test -e /w/second && exit 0; touch /w/second; echo first; exit 1"
        made = shell("again", script, restartPolicy="OnFailure", volumes=[{"name": "w", "emptyDir": {}}])
        made["spec"]["containers"][0] |= mounts(w="/w")
        server.create(made)
        status = server.wait_for_phase("again", "Succeeded")["status"]["containerStatuses"][0]
        assert (status["restartCount"], status["lastState"]["terminated"]["exitCode"]) == (1, 1)
        assert connect(server).get(f"{PODS}/again/log", params={"previous": "true"}).text == "first\n"


def test_scripts_pretend(quiet: KubeServer, connect: Client) -> None:
    image = Image()
    with KubeServer({IMAGE: image}) as server:
        serves = lambda method, path, headers: (200, {"X-LMEval-Driver": "1"}, path.encode())  # noqa: E731
        server.script(Script(serves=serves, stops=True), "app=rec")
        server.script(Script(runs_s=0.1, exit_code=4, log=b"hello\n", message=b"why"), "end=soon")
        server.create(pod("stays"))
        ends = pod("ends")
        ends["metadata"]["labels"]["end"] = "soon"
        server.create(ends)
        client = connect(server)
        state = terminated(server.wait_for_phase("ends", "Failed"))
        assert (state["exitCode"], state["message"]) == (4, "why")
        assert client.get(f"{PODS}/ends/log").text == "hello\n"
        server.wait_for_phase("stays", "Running")
        assert client.get(f"{PODS}/stays:8080/proxy/v1/status").text == "/v1/status"
        client.delete(f"{PODS}/stays")
        server.wait_until_gone("stays")
