"""A small, honest Kubernetes API server over HTTP, for tests that must not need a cluster.

Runs on a cluster are won or lost in the corners: a watch that is too old, a pod that terminates for a while, a proxy that
drops a header. A mock that answers what the test expects shows nothing there. So this is a server that both official
clients and KubernetesPodOperator talk to over HTTP, whose answers are held against exchanges recorded on Kubernetes 1.36
(``tests/data/kubernetes``), and whose pods are real processes with their own mounts, network and PID 1::

    with KubeServer({"eval:1": Image(path=(venv / "bin",))}) as server:
        server.user("airflow", [Rule(("get", "list", "watch"), ("pods",), namespaces=("default",))])
        kubeconfig = server.kubeconfig(tmp_path / "kubeconfig", "airflow")
        ...
        server.faults.evict("eval-1")
        server.wait_until_gone("eval-1")

It stands on ``aiohttp.web``, which both the Kubernetes clients' and lm-eval's dependencies bring, and takes the objects'
schemas from the ``kubernetes`` client's generated models. kmock 0.8, made for such tests, was tried first: its
resourceVersions are constant, and selectors, 410s, strategic merge patches, graceful deletion, users, logs, the proxy and
running pods are all absent, so that nothing but its routing would have been used.

The layers, each importing only from the ones before it (annotations aside):

- ``errors`` ``clock`` ``kinds`` ``schema`` ``selectors`` ``patch`` ``validation`` ``defaults``: what the API knows; pure.
- ``store`` ``auth`` ``admission`` ``registry``: objects, who may touch them, and the rules of every write.
- ``logs`` ``environment`` ``volumes`` ``sandbox`` ``processes`` ``scripted``: what containers are made of.
- ``status`` ``containers`` ``kubelet`` ``scheduler`` ``nodes`` ``controllers`` ``cluster``: what turns objects into pods.
- ``routes`` ``watch`` ``proxy`` ``subresources`` ``discovery`` ``faults`` ``http`` ``kubeconfig`` ``server``: the way in.

Not there: Deployments and other workloads, exec and attach, server-side apply, probes, lifecycle hooks, services and DNS,
pods reaching other pods, projected volumes and service-account tokens, CPU limits, certificates of users.
"""

from __future__ import annotations

from tests.kube.auth import Rule
from tests.kube.processes import Image
from tests.kube.scripted import Script
from tests.kube.server import KubeServer

__all__ = ["Image", "KubeServer", "Rule", "Script"]
