"""How much memory a requested accelerator has, as far as its name tells.

Sizes are nominal, in GiB: no device of that name has more, so what does not fit into that does not fit. Names are those that
NVIDIA's GPU feature discovery and AMD's labeller put on nodes. Where a name is sold with several sizes and does not say
which, nothing is known; neither is it of a name that is not listed. The setting ``gpu.memory`` goes before all of this.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # its models are built where somebody asks for devices
    from airflow_provider_lmeval.spec.pod_parts import Gpu

GIB = 1024**3
PRODUCTS: dict[str, int] = {
    "Tesla-T4": 16, "NVIDIA-T4": 16, "Tesla-P4": 8,
    "NVIDIA-L4": 24, "NVIDIA-L40": 48, "NVIDIA-L40S": 48, "NVIDIA-L20": 48,
    "NVIDIA-A2": 16, "NVIDIA-A10": 24, "NVIDIA-A10G": 24, "NVIDIA-A16": 16, "NVIDIA-A30": 24, "NVIDIA-A40": 48,
    "NVIDIA-RTX-A4000": 16, "NVIDIA-RTX-A5000": 24, "NVIDIA-RTX-A6000": 48, "NVIDIA-RTX-6000-Ada-Generation": 48,
    "NVIDIA-GeForce-RTX-3090": 24, "NVIDIA-GeForce-RTX-4090": 24, "NVIDIA-GeForce-RTX-5090": 32,
    "NVIDIA-H100-PCIe": 80, "NVIDIA-H100-NVL": 94, "NVIDIA-H200": 141, "NVIDIA-H200-NVL": 141,
    "NVIDIA-B200": 192, "AMD_Instinct_MI300X_OAM": 192,
}  # fmt: skip
"""GiB of one device by the product's label, where the label does not contain the size."""
_SLICE = re.compile(r"MIG-[0-9]+g\.([0-9]+)gb|^[0-9]+g\.([0-9]+)gb", re.IGNORECASE)
_SIZE = re.compile(r"(?<![0-9.])([0-9]+)GB(?![A-Za-z0-9])", re.IGNORECASE)
_COMPUTER = ("GH200", "GB200", "GB300", "GB10")
"""Names of whole computers: the size in them is the processor's."""
_UNITS = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "P": 10**15}
_UNITS |= {f"{unit}i": 1024**power for power, unit in enumerate("KMGTP", 1)}


def device_name(gpu: Gpu | None) -> str:
    """Return what to call one of the devices asked for."""
    if gpu is None:
        return "the GPU"
    return f"a slice {gpu.mig}" if gpu.mig else gpu.product or gpu.resource_name


def device_memory(gpu: Gpu | None) -> int | None:
    """Return the bytes that one device has at most, or None if its name does not tell.

    :param gpu: what is asked for; None: it is asked for in a way that names no product.
    """
    if gpu is None:
        return None
    if gpu.memory:
        return amount(gpu.memory)
    size = _named(gpu.mig or gpu.product or "")
    return None if size is None else size * GIB


def _named(name: str) -> int | None:
    """Return the GiB that a product's label or a MIG profile tells; the slice counts, if it is one."""
    if found := _SLICE.search(name):
        return int(found.group(1) or found.group(2))
    if any(word in name for word in _COMPUTER):
        return None
    if found := _SIZE.search(name):
        return int(found.group(1))
    return PRODUCTS.get(name.removesuffix("-SHARED"))


def amount(quantity: str) -> int:
    """Return a quantity of bytes as a number.

    :param quantity: as Kubernetes writes it, such as ``80Gi``; thousandths (``m``) make no sense of bytes and count as such.
    """
    number, unit = re.fullmatch(r"([0-9.]+)([A-Za-z]*)", quantity).groups()  # type: ignore[union-attr]
    return int(float(number) / 1000) if unit == "m" else int(float(number) * _UNITS[unit])
