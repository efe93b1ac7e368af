"""The cluster that these tests run on: the one that ``make test-cluster`` was told, or the test server."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.cluster.options import NEW, Options
from tests.cluster.site import Site

ASKED = "LMEVAL_TEST_CLUSTER"
"""Set by ``make test-cluster``: nobody's own ``KUBECONFIG`` is used by accident. What these tests show of us, those in
``kube_backend`` show in every run; these show it of a cluster."""
collect_ignore_glob = [] if os.environ.get(ASKED) else ["test_*.py"]
IMAGE, NAMESPACE = "localhost/lmeval:test", "lmeval-test"


@pytest.fixture(scope="session")
def options(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Options]:
    if os.environ.get("KUBECONFIG"):
        yield Options.read(os.environ)
        return
    path = tmp_path_factory.mktemp("kube") / "kubeconfig"
    jobs = os.environ.get("LMEVALJOB") or "crd"
    serves = "--trustyai" if jobs == "operator" else "--lmevaljob"
    server = ("-m", "tests.kube", "--kubeconfig", str(path), "--image", IMAGE, "--namespace", NAMESPACE, serves)
    with subprocess.Popen([sys.executable, *server], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline(), "the test server did not start"
        yield Options(kubeconfig=str(path), image=IMAGE, namespace=NAMESPACE, results_claim=NEW, lmevaljob=jobs)
        process.terminate()
        assert process.wait(30) == 0


@pytest.fixture(scope="session")
def site(options: Options, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    before = dict(os.environ)
    site = Site(options, tmp_path_factory.mktemp("site"))
    try:
        site.prepare()
        yield site
    finally:
        site.clean_up()
        os.environ.clear()
        os.environ.update(before)
