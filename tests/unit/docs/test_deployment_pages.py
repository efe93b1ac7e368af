"""The pages on images and deployments name what is there."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[3]
DOCKER = ROOT / "docker"
DOCKERFILE = (DOCKER / "Dockerfile").read_text(encoding="utf-8")
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
IMAGES = (ROOT / "docs" / "images.md").read_text(encoding="utf-8")
DEPLOY = (ROOT / "docs" / "deploy.md").read_text(encoding="utf-8")


def rows(text: str) -> set[str]:
    """Code words of the first column of all tables."""
    return {
        word
        for line in text.splitlines()
        if line.startswith("| `")
        for word in re.findall(r"`(.+?)`", line.split("|")[1])
    }


def test_every_target_and_variable_of_make_image_is_documented() -> None:
    stages = set(re.findall(r"^FROM \S+ AS (\S+)", DOCKERFILE, re.MULTILINE))
    targets = {
        name for name in stages if name not in ("tools", "driver", "runtime") and not name.startswith("install-")
    }
    recipe = MAKEFILE[MAKEFILE.index("\nimage:") : MAKEFILE.index("\nimage-base:")]
    passed = re.findall(r"foreach name,([A-Z_ ]+),", recipe)[0].split()
    assert rows(IMAGES) == targets | {"ENGINE", "TARGET", "IMAGE", "IMAGE_FLAGS", *passed}
    assert set(passed) <= set(re.findall(r"^ARG ([A-Z_]+)", DOCKERFILE, re.MULTILINE))


def test_the_defaults_of_base_images_are_documented() -> None:
    for image in re.findall(r"^ARG (?:BASE|AIRFLOW)_IMAGE=docker.io/(?:library/)?(\S+)", DOCKERFILE, re.MULTILINE):
        assert f"`{image}`" in IMAGES


def test_make_commands_exist() -> None:
    named = set(re.findall(r"make ([a-z-]+)", IMAGES + DEPLOY))
    assert named <= set(re.findall(r"^([a-z-]+):.*##", MAKEFILE, re.MULTILINE))


def test_every_manifest_and_every_dag_that_a_cluster_wants_is_explained() -> None:
    files = {path.name for path in (DOCKER / "kubernetes").glob("*.yaml")} - {"kustomization.yaml"}
    dags = {path.stem for path in (ROOT / "dags").glob("*.py")}
    assert files <= rows(DEPLOY)
    components = {f"{path.parent.name}/" for path in (DOCKER / "kubernetes").glob("*/kustomization.yaml")}
    assert components <= rows(DEPLOY)
    assert rows(DEPLOY) - files - components <= dags


def test_the_env_file_has_every_secret_that_compose_asks_for() -> None:
    asked = set(re.findall(r"\$\{([A-Z_]+):\?", (DOCKER / "compose.yaml").read_text(encoding="utf-8")))
    assert asked == set(re.findall(r"^([A-Z_]+)=\$\(", DEPLOY, re.MULTILINE))
    assert "docker/.env" in (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()
