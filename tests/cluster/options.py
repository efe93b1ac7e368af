"""What ``make test-cluster`` is told about a cluster. Everything comes from the environment, where make puts its arguments.

========================================  =========================================================================
``KUBECONFIG`` ``CONTEXT`` ``NAMESPACE``  where; the namespace exists. Without ``KUBECONFIG``: the test server
``IMAGE`` ``IMAGE_PULL_POLICY``           of the evaluations: it has lm-eval
``IMAGE_PYTHON``                          the interpreter in it that has lm-eval (``python3``)
``DRIVER``                                ``configmap``: this checkout's driver, in a ConfigMap (default); ``image``: the
                                          image's own; ``copy``: from ``DRIVER_IMAGE``
``MODEL_CLAIM`` or ``MODEL_HOST_PATH``    volume with a tiny model; default: one made here, in a ConfigMap
``MODEL_PATH``                            of the model's directory in that volume
``RESULTS_CLAIM`` or                      volume to store results on; ``new``: a claim of the default StorageClass.
``RESULTS_HOST_PATH``                     Default: nothing is stored, and the test of it is skipped
``RUN_AS_USER``                           user and group of the pods (1000); empty: the image's
``POD``                                   further arguments of KubernetesPodOperator or settings of pods, as JSON
``LMEVALJOB``                             ``crd``: TrustyAI's CRD is installed and nothing runs jobs in the namespace;
                                          ``operator``: its operator does. Default: jobs are not tested; on the test
                                          server, ``crd``
``TIMEOUT``                               seconds for one evaluation from its pod's creation to its end (900)
========================================  =========================================================================
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

DRIVERS = ("configmap", "image", "copy")
NEW = "new"
LMEVALJOB = ("", "crd", "operator")


@dataclass(frozen=True, kw_only=True)
class Options:
    """The table above; fields are named as its entries."""

    kubeconfig: str
    image: str
    namespace: str
    context: str | None = None
    image_pull_policy: str | None = None
    image_python: str = "python3"
    driver: str = "configmap"
    driver_image: str | None = None
    model_claim: str | None = None
    model_host_path: str | None = None
    model_path: str = ""
    results_claim: str | None = None
    results_host_path: str | None = None
    run_as_user: int | None = 1000
    pod: Mapping[str, Any] = field(default_factory=dict)
    lmevaljob: str = ""
    timeout: float = 900.0

    def __post_init__(self) -> None:
        if self.lmevaljob not in LMEVALJOB:
            raise ValueError(f"LMEVALJOB={self.lmevaljob}: crd or operator, or nothing")

    @classmethod
    def read(cls, environment: Mapping[str, str]) -> Self:
        """Read the environment.

        :raises ValueError: something is missing or contradicts something else.
        """
        missing = [name for name in ("KUBECONFIG", "IMAGE", "NAMESPACE") if not environment.get(name)]
        if missing:
            raise ValueError(f"make test-cluster needs {', '.join(missing)}; see tests/cluster/options.py")
        driver_image = environment.get("DRIVER_IMAGE") or None
        driver = environment.get("DRIVER") or ("copy" if driver_image else "configmap")
        if driver not in DRIVERS or (driver == "copy") != bool(driver_image):
            raise ValueError(f"DRIVER={driver}: one of {', '.join(DRIVERS)}; DRIVER_IMAGE belongs to copy")
        names = (
            "context", "lmevaljob", "image_pull_policy", "image_python", "model_claim", "model_host_path", "model_path",
            "results_claim", "results_host_path",
        )  # fmt: skip
        given = {name: environment[name.upper()] for name in names if environment.get(name.upper())}
        user = environment.get("RUN_AS_USER", "1000")
        return cls(
            kubeconfig=os.pathsep.join(_absolute(path) for path in environment["KUBECONFIG"].split(os.pathsep)),
            image=environment["IMAGE"],
            namespace=environment["NAMESPACE"],
            driver=driver,
            driver_image=driver_image,
            run_as_user=int(user) if user else None,
            pod=json.loads(environment.get("POD") or "{}"),
            timeout=float(environment.get("TIMEOUT") or 900),
            **given,
        )


def _absolute(path: str) -> str:
    return str(Path(path).expanduser().absolute())
