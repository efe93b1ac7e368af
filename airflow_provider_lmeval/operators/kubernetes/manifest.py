"""The pod that a user's arguments of KubernetesPodOperator describe, before anything of ours is in it.

KubernetesPodOperator lays its arguments over a template by position and appends lists to lists: two volumes at one path, or
a container's resources replaced as a whole, would be the outcome if ours were in the template and the user's in the
arguments. So the arguments move into the template first, and the operator has nothing left to lay over it.
"""

from __future__ import annotations

from typing import Any

from airflow.providers.cncf.kubernetes.backcompat.backwards_compat_converters import (
    convert_configmap,
    convert_volume,
    convert_volume_mount,
)
from airflow.providers.cncf.kubernetes.operators.pod import KubernetesPodOperator
from airflow.providers.cncf.kubernetes.pod_generator import PodGenerator

_MOVED: dict[str, Any] = {
    "pod_template_file": None,
    "pod_template_dict": None,
    "env_vars": [],
    "env_from": [],
    "configmaps": [],
    "volumes": [],
    "volume_mounts": [],
    "ports": [],
    "init_containers": [],
    "container_resources": None,
    "container_security_context": None,
    "security_context": {},
    "tolerations": [],
    "node_selector": {},
}
"""Arguments whose values move into the template, with what they are afterwards."""


def given_pod(operator: KubernetesPodOperator) -> dict[str, Any]:
    """Return the user's pod as plain data, and take its parts out of the operator's arguments."""
    pod = PodGenerator.reconcile_pods(_template(operator), _arguments(operator))
    for name, value in _MOVED.items():
        setattr(operator, name, value)
    found: dict[str, Any] = PodGenerator.serialize_pod(pod)
    return found


def _template(operator: KubernetesPodOperator) -> Any:
    """Return the pod that the template and the full spec describe, as KubernetesPodOperator takes them."""
    from kubernetes.client import models as k8s

    template = None
    if operator.pod_template_file:
        template = PodGenerator.deserialize_model_file(operator.pod_template_file)
    elif operator.pod_template_dict:
        template = PodGenerator.deserialize_model_dict(operator.pod_template_dict)
    if operator.full_pod_spec:
        return PodGenerator.reconcile_pods(template, operator.full_pod_spec) if template else operator.full_pod_spec
    return template or k8s.V1Pod(metadata=k8s.V1ObjectMeta())


def _arguments(operator: KubernetesPodOperator) -> Any:
    """Return the pod that the arguments alone describe. Older providers have put ``configmaps`` into ``env_from``."""
    from airflow.providers.cncf.kubernetes.backcompat.backwards_compat_converters import convert_env_vars
    from kubernetes.client import models as k8s

    container = k8s.V1Container(
        name=operator.base_container_name,
        image=operator.image,
        env=convert_env_vars(operator.env_vars) if operator.env_vars else [],
        env_from=[*operator.env_from, *(convert_configmap(name) for name in getattr(operator, "configmaps", ()))],
        ports=operator.ports,
        resources=operator.container_resources,
        security_context=operator.container_security_context,
        volume_mounts=[convert_volume_mount(mount) for mount in operator.volume_mounts],
    )
    spec = k8s.V1PodSpec(
        containers=[container],
        init_containers=operator.init_containers,
        node_selector=operator.node_selector,
        security_context=operator.security_context,
        tolerations=operator.tolerations,
        volumes=[convert_volume(volume) for volume in operator.volumes],
    )
    return k8s.V1Pod(metadata=k8s.V1ObjectMeta(), spec=spec)
