"""The Dockerfile keeps hadolint's rules and some of ours; what it installs is what was tested."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
DOCKER = ROOT / "docker"
DOCKERFILE = (DOCKER / "Dockerfile").read_text(encoding="utf-8")
HADOLINT = shutil.which("hadolint", path=str(Path(sys.executable).parent)) or shutil.which("hadolint")


def instructions(*names: str) -> list[str]:
    joined = re.sub(r"\\\n", " ", re.sub(r"^#.*\n", "", DOCKERFILE, flags=re.MULTILINE))
    return [line for line in joined.splitlines() if line.split(" ")[0] in names]


def stages() -> dict[str, list[str]]:
    """Return the instructions of every stage, by its name."""
    found: dict[str, list[str]] = {}
    for line in instructions("FROM", "USER", "ENTRYPOINT", "RUN", "COPY", "ADD", "ENV", "ARG"):
        if line.startswith("FROM"):
            found[line.split()[-1]] = []
        elif found:
            found[list(found)[-1]].append(line)
    return found


def pins(path: Path) -> dict[str, str]:
    return dict(re.findall(r"^([a-z0-9-]+)==([^\s;]+)", path.read_text(encoding="utf-8"), re.MULTILINE))


@pytest.mark.skipif(HADOLINT is None, reason="hadolint is not installed")
def test_hadolint_finds_nothing() -> None:
    done = subprocess.run([str(HADOLINT), str(DOCKER / "Dockerfile")], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, "")


def test_base_images_are_arguments_that_name_a_release() -> None:
    images = re.findall(r"^ARG (?:BASE|AIRFLOW)_IMAGE=(\S+)", DOCKERFILE, re.MULTILINE)
    assert len(images) == 2
    assert [image for image in images if not re.search(r":\d+\.\d+\.\d+", image)] == []
    origins = {line.split()[1] for line in instructions("FROM")}
    assert origins == {"${BASE_IMAGE}", "${AIRFLOW_IMAGE}", "tools", "runtime"}


@pytest.mark.parametrize("target", ["cpu", "cuda", "vllm"])
def test_an_image_that_evaluates_ends_as_a_numeric_user_in_group_0(target: str) -> None:
    found = [line for stage in ("runtime", target) for line in stages()[stage]]
    users = [line for line in found if line.startswith("USER")]
    assert users[-1] == "USER 65532:0"
    assert [line for line in found if line.startswith("ENTRYPOINT")] == [
        'ENTRYPOINT ["python3", "-m", "airflow_provider_lmeval.driver"]'
    ]


def test_nothing_is_fetched_but_by_package_managers() -> None:
    assert instructions("ADD") == []
    assert [line for line in instructions("RUN") if re.search(r"\b(curl|wget|git clone)\b", line)] == []
    for line in instructions("RUN"):
        assert "apt-get install" not in line or "rm -rf /var/lib/apt/lists/*" in line


@pytest.mark.parametrize("name", ["build", "cpu", "cuda", "vllm"])
def test_everything_in_a_list_has_a_version_and_hashes(name: str) -> None:
    text = (DOCKER / "requirements" / f"{name}.txt").read_text(encoding="utf-8")
    packages = re.findall(r"^[a-z0-9].*?(?=^[a-z0-9]|\Z)", text, re.MULTILINE | re.DOTALL)
    assert [one for one in packages if "==" not in one or "--hash=sha256:" not in one] == []
    assert "file:" not in text
    assert f"-r /build/{name}.txt" in DOCKERFILE


@pytest.mark.parametrize("name", ["cpu", "cuda"])
def test_an_image_holds_what_was_tested(name: str) -> None:
    tested = pins(ROOT / "tests" / "constraints" / "newest.txt")
    held = pins(DOCKER / "requirements" / f"{name}.txt")
    held.setdefault("torch", re.findall(r"^ARG TORCH_VERSION=(\S+)", DOCKERFILE, re.MULTILINE)[0])
    assert {"lm-eval", "unitxt", "transformers", "datasets", "torch"} <= held.keys()
    assert {package: version for package, version in held.items() if tested.get(package, version) != version} == {}


def test_the_cpu_image_holds_nothing_for_gpus() -> None:
    held = pins(DOCKER / "requirements" / "cpu.txt")
    assert [name for name in held if name.startswith(("nvidia", "cuda", "triton"))] == []


@pytest.mark.parametrize("name", ["cpu", "cuda", "vllm"])
def test_every_image_has_the_drivers_versions_of_lm_eval_and_unitxt(name: str) -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    wanted = dict(re.fullmatch(r"([a-z-]+)(?:\[.*\])?==(.+)", each).groups() for each in extras["driver"])  # type: ignore[union-attr]
    held = pins(DOCKER / "requirements" / f"{name}.txt")
    assert {package: held[package] for package in wanted} == wanted


def test_the_airflow_image_is_of_the_release_that_is_pinned() -> None:
    (image,) = re.findall(r"^ARG AIRFLOW_IMAGE=(\S+)", DOCKERFILE, re.MULTILINE)
    assert f":{pins(ROOT / 'tests' / 'constraints' / 'newest.txt')['apache-airflow']}-" in image


def test_a_build_sees_what_it_copies_and_nothing_else() -> None:
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert lines[1] == "*"
    seen = {line.removeprefix("!") for line in lines if line.startswith("!")}
    copied = {word for line in instructions("COPY") if "--from=" not in line for word in line.split()[1:-1]}
    assert {path for path in copied if not any(path == root or path.startswith(f"{root}/") for root in seen)} == set()
