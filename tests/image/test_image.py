"""The built `cpu` image evaluates a real model, wherever a cluster may put it. `make test-image` builds it and runs this."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from airflow_provider_lmeval.backends.driver_files import driver_files
from airflow_provider_lmeval.wire_pod import REQUEST_ENV, RUN_DIR_ENV, Termination, pack_request
from tests.support.contained import document
from tests.support.image import USER, WORK, Containers, Engine, Place, missing, opened
from tests.support.tiny import tiny_model
from tests.support.worker import tiny_request

LARGEST = 2_500_000_000

pytestmark = [pytest.mark.driver, pytest.mark.skipif(bool(missing()), reason=missing())]


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    with opened(os.environ["LMEVAL_TEST_ENGINE"], os.environ["LMEVAL_TEST_IMAGE"]) as found:
        yield found


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """A volume: an emptyDir is everybody's to write."""
    place = tmp_path / "work"
    place.mkdir()
    place.chmod(0o777)
    return place


@pytest.fixture
def containers(engine: Engine, work: Path, tmp_path: Path) -> Containers:
    place = Place(work, tmp_path / "termination-log", tiny_model().parent)
    place.message.touch()
    place.message.chmod(0o666)
    return Containers(engine, place)


def test_a_model_is_evaluated_by_any_user_id_on_a_read_only_root_without_network(
    containers: Containers, work: Path
) -> None:
    request = tiny_request("tiny_mc", "tiny_gen", run_id="in-the-image")
    variables = {REQUEST_ENV: pack_request(request), RUN_DIR_ENV: f"{WORK}/run", "LMEVAL_IMAGE": "registry/x@sha256:1"}

    done = containers.run(**variables)

    assert done.returncode == 0, done.stderr.decode()[-4000:]
    told = Termination.parse(containers.place.message.read_text())
    assert (told.reason, told.tasks_done) == ("Succeeded", 2)
    result = json.loads(document(done.stdout, "in-the-image") or b"")
    assert result["tasks"]["tiny_mc"]["metrics"]["acc,none"]["value"] > 0.5
    assert result["fingerprint"]["image"] == "registry/x@sha256:1"
    assert (work / "run" / "result.json").stat().st_uid == USER


def test_the_container_is_what_this_test_says_it_is(containers: Containers) -> None:
    code = """
import errno, json, os, socket
def refused(action):
    try: action()
    except OSError as error: return errno.errorcode[error.errno]
found = dict(
    user=os.getuid(), group=os.getgid(), groups=os.getgroups(), pid=os.getpid(),
    root=refused(lambda: open('/x', 'w')), venv=refused(lambda: open('/opt/lmeval/x', 'w')),
    network=refused(lambda: socket.create_connection(('192.0.2.1', 80), 5)),
)
print(json.dumps(found))"""
    found = json.loads(containers.python(code))
    assert (found["user"], found["group"], set(found["groups"]) <= {0}, found["pid"]) == (USER, 0, True, 1)
    assert (found["root"], found["venv"], found["network"]) == ("EROFS", "EROFS", "ENETUNREACH")


def test_the_driver_is_process_1_and_the_user_a_number(engine: Engine) -> None:
    config = engine.config()
    assert config["Entrypoint"] == ["python3", "-m", "airflow_provider_lmeval.driver"]
    assert config["User"] == "65532:0"
    assert {"HF_HUB_OFFLINE=1", "HF_DATASETS_OFFLINE=1", "TRANSFORMERS_OFFLINE=1"} <= set(config["Env"])
    labels = {name.removeprefix("org.opencontainers.image.") for name in config["Labels"]}
    assert {"title", "version", "revision", "created", "licenses", "base.name"} <= labels


def test_without_a_request_it_says_what_is_missing(containers: Containers) -> None:
    done = containers.run()
    assert done.returncode == 2
    assert REQUEST_ENV in containers.place.message.read_text()


def test_it_holds_lm_eval_and_the_driver_but_no_airflow(containers: Containers) -> None:
    code = """
from importlib.metadata import version
from importlib.util import find_spec
print(version("lm_eval"), version("unitxt"), *[name for name in ("airflow", "msgspec", "kubernetes") if find_spec(name)])
import airflow_provider_lmeval as package
import os; print(*sorted(entry for entry in os.listdir(package.__path__[0]) if entry != "__pycache__"))"""
    versions, files = containers.python(code).splitlines()
    assert versions == "0.4.13 1.26.10"
    assert files.split() == sorted({path.split("/")[1] for path in driver_files()})


def test_byte_code_is_compiled(containers: Containers) -> None:
    code = """
import os, sysconfig
from importlib.util import cache_from_source
root = sysconfig.get_path("purelib")
for place in ("/opt/lmeval-driver", *(f"{root}/{name}" for name in ("lm_eval", "torch/nn", "transformers/models/gpt2"))):
    for directory, _, files in os.walk(place):
        sources = [os.path.join(directory, name) for name in files if name.endswith(".py")]
        print(*[source for source in sources if not os.path.exists(cache_from_source(source))])"""
    assert containers.python(code).split() == []


def test_what_it_may_write_without_a_volume_is_the_groups(containers: Containers) -> None:
    bare = replace(containers, place=replace(containers.place, work=None))
    code = "import os, stat; found = os.stat('/lmeval'); print(found.st_gid, stat.filemode(found.st_mode), os.getcwd())"
    assert bare.python(code) == "0 drwxrws--- /lmeval"


def test_another_image_gets_the_driver_from_it(containers: Containers, work: Path) -> None:
    done = containers.run("python3", "-m", "airflow_provider_lmeval.driver.copy", f"{WORK}/driver")
    assert done.returncode == 0, done.stderr
    assert (work / "driver" / "airflow_provider_lmeval" / "driver" / "__main__.py").exists()


def test_it_is_smaller_than_two_and_a_half_gigabytes(containers: Containers) -> None:
    code = """
import os
total, mine = 0, os.stat("/opt").st_dev
for directory, names, files in os.walk("/"):
    names[:] = [name for name in names if os.lstat(os.path.join(directory, name)).st_dev == mine]
    total += sum(os.lstat(os.path.join(directory, name)).st_size for name in files)
print(total)"""
    size = int(containers.python(code))
    print(f"{size / 1e9:.2f} GB")
    assert 500_000_000 < size < LARGEST
