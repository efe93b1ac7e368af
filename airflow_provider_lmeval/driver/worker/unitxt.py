"""Turns unitxt recipes into files: a catalogue of the run's own artifacts, and one lm-eval task per recipe.

lm-eval's unitxt task takes a recipe as one line of text, and unitxt takes an artifact by id, by path, or as JSON within that
text. Only ids are used here: every artifact of the request becomes a file of a local catalogue, written by ``json``, and is
checked with everything it refers to (``unitxt_walk``) before unitxt is imported. The files left behind are what
``lm-eval run --include_path`` needs to give the same scores.

What unitxt tasks do differently (lm-eval 0.4.13, unitxt 1.26.10): generation arguments have no effect; there is no standard
error; ``higher_is_better`` is always true (see ``unitxt_direction``). unitxt caches prepared data under a hash of the
recipe, in which the content of data files has no part, so that an edited file would serve the old data: the content's digest
is written into the card as a tag. (``HF_DATASETS_CACHE`` of one's own would do as well, but it hides the datasets that were
put there for offline use.)
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from airflow_provider_lmeval.driver.worker.data_files import Roots, digest
from airflow_provider_lmeval.driver.worker.unitxt_catalog import Catalog, bad_spec, is_id, open_catalog
from airflow_provider_lmeval.driver.worker.unitxt_guard import guard
from airflow_provider_lmeval.driver.worker.unitxt_rules import Rules
from airflow_provider_lmeval.driver.worker.unitxt_walk import Walk
from airflow_provider_lmeval.errors import RunFailedError
from airflow_provider_lmeval.wire import Cause, Request, safe_name
from airflow_provider_lmeval.wire_unitxt import TYPE

log = logging.getLogger(__name__)

ARTIFACTS = {
    "card": "cards",
    "template": "templates",
    "task": "tasks",
    "format": "formats",
    "system_prompt": "system_prompts",
}
"""Keys of a recipe that hold one artifact, and the kind of it."""
NUMBERS = ("loader_limit", "num_demos", "demos_pool_size")
CUSTOM_KINDS = ("cards", "templates", "system_prompts", "metrics", "tasks")
DIGEST_TAG = "lmeval_data"
_TASK_NAME = re.compile(r"(?!.*\.\.)[A-Za-z0-9_][A-Za-z0-9_.-]{0,599}", re.ASCII)


@dataclass(frozen=True)
class Installed:
    """What the run needs to know of the files.

    :param include_paths: directories with the tasks, for lm-eval's index.
    :param tasks: their names.
    :param env: variables to set before unitxt is imported.
    """

    include_paths: list[Path]
    tasks: list[str]
    env: dict[str, str]


def prepare(request: Request, directory: Path) -> list[str]:
    """Install the request's recipes and set up unitxt for them in this process, which must not have used it before.

    :param directory: see :func:`install`.
    :returns: directories with the tasks, for lm-eval's index.
    :raises RunFailedError: see :func:`install`.
    """
    installed = install(request, directory)
    os.environ.update(installed.env)
    guard(_rules(request, directory))
    return [str(path) for path in installed.include_paths]


def install(request: Request, directory: Path) -> Installed:
    """Check the request's recipes and artifacts, and write them.

    :param request: ``unitxt`` holds recipes, each with all custom artifacts.
    :param directory: a directory of the run's own; ``catalog`` and ``tasks`` in it are made anew.
    :raises RunFailedError: ``bad_spec``, ``code_denied``, ``online_denied``, or ``dataset`` for a data file that is missing.
    """
    own, tasks = directory / "catalog", directory / "tasks"
    if ":" in str(own):
        raise bad_spec(
            f"unitxt cannot use a catalogue in {str(own)!r}: ':' separates its paths. Use another run directory."
        )
    for place in (own, tasks):
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
    catalog = open_catalog(own)
    recipes = [_named(entry["recipe"], catalog) for entry in _entries(request)]
    for name, artifact in _custom(request).items():
        _add(catalog, name, artifact)
    for entry, recipe in zip(request.unitxt, recipes, strict=True):
        _check(recipe, catalog, _rules(request, directory))
        _write_task(tasks, entry["task"], recipe)
    if request.evaluate.get("gen_kwargs"):
        log.warning(
            "gen_kwargs have no effect on unitxt tasks: lm-eval always generates up to the end of the line there"
        )
    return Installed([tasks], [entry["task"] for entry in request.unitxt], _environment(request, catalog))


def _rules(request: Request, directory: Path) -> Rules:
    return Rules(
        allow_code=request.allow_code_execution,
        allow_online=request.allow_online,
        roots=Roots.of(request, directory),
    )


def _entries(request: Request) -> Iterator[dict[str, Any]]:
    """Yield the recipes after checking their form and names: the request may come from another release."""
    taken = set(request.tasks) | {str(task.get("task")) for task in request.inline_tasks}
    for entry in request.unitxt:
        name, recipe = entry.get("task"), entry.get("recipe")
        if not isinstance(name, str) or not _TASK_NAME.fullmatch(name):
            raise bad_spec(f"unitxt task name {name!r}: allowed are letters, digits, '_', '.' and '-', without '..'")
        if name in taken:
            raise bad_spec(f"two tasks are called {name!r}: give the unitxt recipe another name")
        taken.add(name)
        if not isinstance(recipe, dict) or "card" not in recipe:
            raise bad_spec(f"unitxt recipe {name!r} names no card")
        yield entry


def _named(recipe: dict[str, Any], catalog: Catalog) -> dict[str, Any]:
    """Return a recipe of ids and numbers only; artifacts written into it become files."""
    named: dict[str, Any] = {}
    for key, value in recipe.items():
        if value is None or value == []:
            continue
        if key in ARTIFACTS:
            named[key] = _id(value, key, catalog)
        elif key == "metrics" and isinstance(value, list | tuple):
            named[key] = [_checked_id(item, key) for item in value]
        elif key in NUMBERS and type(value) is int and value >= 0:
            named[key] = value
        else:
            known = ", ".join((*ARTIFACTS, "metrics", *NUMBERS))
            raise bad_spec(f"unitxt recipe: {key}={value!r} is not understood; known are {known}")
    return named


def _id(value: Any, key: str, catalog: Catalog) -> str:
    if not isinstance(value, dict):
        return _checked_id(value, key)
    content = hashlib.sha256(json.dumps(value).encode()).hexdigest()
    name = f"{ARTIFACTS[key]}.inline_{content[:16]}"
    _add(catalog, name, value)
    return name


def _checked_id(value: Any, what: str) -> str:
    if not is_id(value):
        raise bad_spec(
            f"unitxt {what} {value!r} is no catalogue id: letters, digits and '_', joined by dots, not starting with a "
            "digit; paths and JSON text are not taken"
        )
    return str(value)


def _custom(request: Request) -> dict[str, dict[str, Any]]:
    """Return the custom artifacts of all recipes by id; each recipe carries all of them."""
    found: dict[str, dict[str, Any]] = {}
    for entry in request.unitxt:
        for kind, artifacts in (entry.get("artifacts") or {}).items():
            if kind not in CUSTOM_KINDS:
                raise bad_spec(f"unitxt artifacts: unknown kind {kind!r}; known are {', '.join(CUSTOM_KINDS)}")
            for name, value in artifacts.items():
                artifact = {TYPE: "textual_system_prompt", "text": value} if isinstance(value, str) else value
                if found.setdefault(name, artifact) != artifact:
                    raise bad_spec(f"two different unitxt artifacts have the id {name!r}")
    return found


def _add(catalog: Catalog, name: str, artifact: dict[str, Any]) -> None:
    """Write a custom artifact under an id of its own: under one that exists it would change scores without being seen."""
    _checked_id(name, "artifact")
    if catalog.find(name, others_only=True):
        raise bad_spec(f"custom unitxt artifact {name!r}: this id is taken by unitxt's catalogue; choose another")
    if not isinstance(artifact, dict) or not isinstance(artifact.get(TYPE), str):
        raise bad_spec(f"custom unitxt artifact {name!r} needs '__type__', such as 'task_card'")
    catalog.write(name, artifact)


def _check(recipe: dict[str, Any], catalog: Catalog, rules: Rules) -> None:
    """Check all a recipe refers to, and mark its card with the content of the data files."""
    walk = Walk(catalog, rules)
    for key in (*ARTIFACTS, "metrics"):
        value = recipe.get(key, [])
        for name in value if isinstance(value, list) else [value]:
            walk.reference(name)
    if rules.files:
        card = catalog.load(recipe["card"])
        tags = card.get("__tags__") if isinstance(card.get("__tags__"), dict) else {}
        catalog.write(recipe["card"], {**card, "__tags__": {**(tags or {}), DIGEST_TAG: _digest(rules)}})


def _digest(rules: Rules) -> str:
    try:
        return digest(rules.files)
    except OSError as error:
        raise RunFailedError(f"unitxt data file {error.filename!r}: {error.strerror}", Cause.DATASET) from error


def _write_task(tasks: Path, name: str, recipe: dict[str, Any]) -> None:
    import yaml

    spelled = {key: f"[{','.join(value)}]" if isinstance(value, list) else value for key, value in recipe.items()}
    config = {
        "task": name,
        "include": str(_unitxt_task()),
        "recipe": ",".join(f"{key}={value}" for key, value in spelled.items()),
    }
    (tasks / f"{safe_name(name, 120)}.yaml").write_text(yaml.safe_dump(config, sort_keys=False, width=10**6))


def _unitxt_task() -> Path:
    """Return lm-eval's definition of a unitxt task, which names its class; found without importing lm-eval."""
    spec = find_spec("lm_eval")
    if spec is None or not spec.submodule_search_locations:
        raise bad_spec(
            "lm-eval is not installed where the evaluation runs: pip install 'airflow-provider-lmeval[driver]'"
        )
    return Path(spec.submodule_search_locations[0]) / "tasks" / "unitxt" / "unitxt"


def _environment(request: Request, catalog: Catalog) -> dict[str, str]:
    """Return unitxt's settings; it reads them whenever it needs them. Of several catalogues the last wins."""
    catalogs = [str(place) for place in (*reversed(catalog.others[:-1]), catalog.own)]
    settings = {"UNITXT_CATALOGS": ":".join(catalogs), "UNITXT_USE_ONLY_LOCAL_CATALOGS": "True"}
    if not request.allow_online:
        settings["UNITXT_LOADERS_MAX_RETRIES"] = "1"  # ten tries, two seconds apart, do not make a broken file whole
    if request.allow_code_execution:
        settings["UNITXT_ALLOW_UNVERIFIED_CODE"] = "True"
    return settings
