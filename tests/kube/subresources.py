"""What pods offer beside themselves: their logs and their eviction; and the question what one may do."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from aiohttp import web

from tests.kube import clock
from tests.kube.errors import ApiError, bad_request
from tests.kube.kinds import PODS
from tests.kube.logs import ContainerLog, Options
from tests.kube.registry import ENDED
from tests.kube.routes import Request, Target

if TYPE_CHECKING:
    from tests.kube.cluster import Cluster

Json = dict[str, Any]

_WAITING = {"ErrImagePull": "image can't be pulled", "ImagePullBackOff": "trying and failing to pull image"}


async def log(cluster: Cluster, request: Request, raw: web.Request, target: Target) -> web.StreamResponse:
    """Answer with a container's log, or follow it.

    :raises ApiError: 404 no such pod, 400 no such container or no log yet, 500 its node does not answer.
    """
    pod = cluster.store.get(PODS, (target.namespace, target.name))
    container = _container(pod, request.query.get("container", ""))
    options = _options(request)
    if not pod["spec"].get("nodeName"):
        return web.Response(status=204)
    found = _find(cluster, pod, container, previous=request.flag("previous"))
    answer = web.StreamResponse(headers={"Content-Type": "text/plain"})
    answer.enable_chunked_encoding()
    await answer.prepare(raw)
    if request.flag("follow"):
        async for text in found.follow(options):
            await answer.write(text)
    elif text := found.read(options):
        await answer.write(text)
    await answer.write_eof()
    return answer


def _options(request: Request) -> Options:
    since = request.number("sinceSeconds")
    if since is not None and since < 1:
        raise bad_request("sinceSeconds must be greater than 0")
    moment = None if since is None else time.time() - since
    if text := request.query.get("sinceTime"):
        try:
            moment = clock.parse(text)
        except ValueError:
            raise bad_request(f"unable to decode the sinceTime {text}") from None
    return Options(request.number("tailLines"), moment, request.flag("timestamps"), request.number("limitBytes"))


def _container(pod: Json, asked: str) -> str:
    names = {part: [one["name"] for one in pod["spec"].get(part) or []] for part in ("containers", "initContainers")}
    if asked:
        if asked not in names["containers"] + names["initContainers"]:
            raise bad_request(f"container {asked} is not valid for pod {pod['metadata']['name']}")
        return asked
    if len(names["containers"]) == 1:
        return names["containers"][0]
    choice = f"choose one of: [{' '.join(names['containers'])}]"
    if names["initContainers"]:
        choice += f" or one of the init containers: [{' '.join(names['initContainers'])}]"
    raise bad_request(f"a container name must be specified for pod {pod['metadata']['name']}, {choice}")


def _find(cluster: Cluster, pod: Json, container: str, *, previous: bool) -> ContainerLog:
    metadata = pod["metadata"]
    worker = cluster.workers.get(metadata["uid"])
    if worker is not None and not worker.node.online.is_set():
        where = (
            f"https://{worker.node.address}:10250/containerLogs/{metadata['namespace']}/{metadata['name']}/{container}"
        )
        message = f'Get "{where}": dial tcp {worker.node.address}:10250: i/o timeout'
        raise ApiError(500, "InternalError", message)
    runner = worker.runners.get(container) if worker is not None else None
    if previous:
        if runner is None or runner.previous_log is None:
            name = metadata["name"]
            raise bad_request(f'previous terminated container "{container}" in pod "{name}" not found')
        return runner.previous_log
    if runner is None or runner.log is None:
        reason = _waiting_reason(pod, container)
        raise bad_request(f'container "{container}" in pod "{metadata["name"]}" is waiting to start: {reason}')
    return runner.log


def _waiting_reason(pod: Json, container: str) -> str:
    status = pod["status"]
    statuses = [*(status.get("containerStatuses") or []), *(status.get("initContainerStatuses") or [])]
    for one in statuses:
        if one["name"] == container and (waiting := one["state"].get("waiting")):
            reason: str = waiting["reason"]
            return _WAITING.get(reason, reason)
    return "ContainerCreating"


def evict(cluster: Cluster, target: Target, body: Json) -> Json:
    """Evict a pod and return the answer's body.

    :raises ApiError: 404.
    """
    pod = cluster.store.get(PODS, (target.namespace, target.name))
    options = body.get("deleteOptions") or {}
    if pod["status"].get("phase") in (*ENDED, "Pending"):
        cluster.registry.delete(PODS, cluster.key(pod), options)
    else:
        cluster.disrupt(pod, "EvictionByEvictionAPI", "Eviction API: evicting", options)
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}


def access_review(body: Json, may: Callable[..., bool]) -> Json:
    """Return a SelfSubjectAccessReview with its answer."""
    asked = (body.get("spec") or {}).get("resourceAttributes") or {}
    resource = "/".join(filter(None, (asked.get("resource", ""), asked.get("subresource", ""))))
    namespace, name = asked.get("namespace", ""), asked.get("name", "")
    allowed = may(asked.get("verb", ""), asked.get("group", ""), resource, namespace, name)
    kind = {"kind": "SelfSubjectAccessReview", "apiVersion": "authorization.k8s.io/v1"}
    return {**kind, "metadata": {}, "spec": body.get("spec") or {}, "status": {"allowed": allowed}}
