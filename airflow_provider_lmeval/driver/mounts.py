"""What a pod mounts for the driver: looked at before anything starts, and put where programs look for it.

Kubernetes lets a pod start without an optional Secret or ConfigMap, and mounts a volume that nobody may write to without a
word. Here that is found out in the first second, with the name of what is missing; the alternative is a pod that waits for
half an hour, or an evaluation that cannot store what it took hours to find out.
"""

from __future__ import annotations

import json
import os
import ssl
from collections.abc import Iterator, Mapping, MutableMapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from airflow_provider_lmeval.errors import RunFailedError
from airflow_provider_lmeval.wire import Cause
from airflow_provider_lmeval.wire_pod import CA_FILES_ENV, ENV_FROM_FILES_ENV, MOUNTED_ENV

CA_VARIABLES = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "AWS_CA_BUNDLE")
"""Who reads which: OpenSSL and so aiohttp and httpx; requests; curl; boto."""
_SYSTEM_BUNDLES = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem")


def prepare(environ: MutableMapping[str, str], scratch: Path) -> None:
    """Check what is mounted, and set the variables that make it known.

    :param environ: the driver's environment, which is changed. :param scratch: for the certificates together.
    :raises RunFailedError: something is not there (``bad_spec``), or may not be written (``storage``).
    """
    for each in _json(environ, MOUNTED_ENV, []):
        _check(Path(each["path"]), each["origin"], writable=bool(each.get("writable")))
    for name, path in _json(environ, ENV_FROM_FILES_ENV, {}).items():
        environ[name] = _read(Path(path), f"the file for {name}").strip()
    if files := _json(environ, CA_FILES_ENV, []):
        bundle = scratch / "ca-bundle.crt"
        bundle.write_text("\n".join(_certificates(environ, files)), encoding="utf-8")
        environ.update(dict.fromkeys(CA_VARIABLES, str(bundle)))


def _json(environ: Mapping[str, str], name: str, default: Any) -> Any:
    return json.loads(environ[name]) if environ.get(name) else default


def _check(path: Path, origin: str, *, writable: bool) -> None:
    if writable:
        if not os.access(path, os.W_OK | os.X_OK):
            raise RunFailedError(
                f"{origin}: {path} may not be written by this process (user {os.getuid()}, groups {_groups()}): the volume "
                "is read-only, or belongs to others; set fs_group, or use another claim",
                Cause.STORAGE,
            )
    elif not path.exists() or not (any(path.iterdir()) if path.is_dir() else path.stat().st_size):
        raise RunFailedError(
            f"{origin} is not there, or empty: create it in the pod's namespace, or take it out of the pod settings",
            Cause.BAD_SPEC,
        )


def _groups() -> str:
    return ", ".join(map(str, sorted({os.getgid(), *os.getgroups()})))


def _read(path: Path, what: str) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RunFailedError(f"{what}, {path}, cannot be read: {error}", Cause.BAD_SPEC) from error


def _certificates(environ: Mapping[str, str], files: list[str]) -> Iterator[str]:
    """Yield the certificates that were trusted before, then those that are mounted."""
    if (trusted := _trusted(environ)) is not None:
        yield _read(trusted, "the image's CA bundle")
    for name in files:
        text = _read(Path(name), "the CA bundle")
        if "-----BEGIN CERTIFICATE-----" not in text:
            raise RunFailedError(f"the CA bundle {name} holds no certificate in PEM format", Cause.BAD_SPEC)
        yield text


def _trusted(environ: Mapping[str, str]) -> Path | None:
    places = [environ.get("SSL_CERT_FILE"), ssl.get_default_verify_paths().cafile, *_SYSTEM_BUNDLES]
    if (certifi := find_spec("certifi")) is not None and certifi.origin:
        places.append(str(Path(certifi.origin).with_name("cacert.pem")))
    return next((Path(place) for place in places if place and Path(place).is_file()), None)
