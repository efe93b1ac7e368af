"""``taskList``, both ways: names, unitxt recipes, and the custom artifacts they refer to.

LMEvalJob keeps an id of the catalogue (``name``) and one of a custom artifact (``ref``) apart; a spec does not, since the id
tells: it is either among the spec's artifacts or in the catalogue. An id that is both is refused, for it would change sides.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from airflow_provider_lmeval.plan.lmevaljob.findings import Findings, Path
from airflow_provider_lmeval.spec import EvalSpec, UnitxtRecipe

TASK_LIST: Path = ("spec", "taskList")
CUSTOM = {"templates": "templates", "systemPrompts": "system_prompts", "metrics": "metrics", "tasks": "tasks"}
"""LMEvalJob's kinds of custom artifacts, and ours."""
REFERENCES = {"template": "templates", "systemPrompt": "systemPrompts", "task": "tasks"}
"""Fields of a recipe that refer to an artifact, and the kind of custom artifact."""
_NUMBERS = {"loaderLimit": "loader_limit", "numDemos": "num_demos", "demosPoolSize": "demos_pool_size"}
_OURS = {"systemPrompt": "system_prompt"}


def modernised(manifest: dict[str, Any], findings: Findings) -> dict[str, Any]:
    """Return the manifest with recipes of the first design (``card: "cards.wnli"``) in today's form.

    Today's API server refuses the old form, so it is worth a word.
    """
    spec = manifest.get("spec")
    task_list = spec.get("taskList") if isinstance(spec, dict) else None
    recipes = task_list.get("taskRecipes") if isinstance(task_list, dict) else None
    if not isinstance(spec, dict) or not isinstance(task_list, dict) or not isinstance(recipes, list):
        return manifest
    new = [_modern(recipe, (*TASK_LIST, "taskRecipes", index), findings) for index, recipe in enumerate(recipes)]
    return manifest | {"spec": spec | {"taskList": task_list | {"taskRecipes": new}}}


def _modern(recipe: Any, path: Path, findings: Findings) -> Any:
    if not isinstance(recipe, dict):
        return recipe
    found = dict(recipe)
    old = [name for name in ("card", *REFERENCES) if isinstance(recipe.get(name), str)]
    for name in old:
        found[name] = {"name": recipe[name]}
    metrics = recipe.get("metrics")
    if isinstance(metrics, list) and any(isinstance(metric, str) for metric in metrics):
        old.append("metrics")
        found["metrics"] = [{"name": metric} if isinstance(metric, str) else metric for metric in metrics]
    for name in old:
        findings.warn(
            (*path, name), "is the plain string of the first design, which today's CRD refuses; read as {name: …}"
        )
    return found


def read_tasks(task_list: Mapping[str, Any], findings: Findings, places: dict[str, Path]) -> dict[str, Any]:
    """Return ``tasks``, ``unitxt`` and ``artifacts`` of a spec.

    :param task_list: has passed the schema.
    :param places: filled with where each of our fields comes from.
    """
    names = task_list.get("taskNames", [])
    places |= {f"tasks.{index}": (*TASK_LIST, "taskNames", index) for index in range(len(names))}
    artifacts = _read_custom(task_list.get("custom", {}), findings, places)
    recipes = []
    for index, recipe in enumerate(task_list.get("taskRecipes", [])):
        path = (*TASK_LIST, "taskRecipes", index)
        places[f"unitxt.{index}"] = path
        places |= {f"unitxt.{index}.{(_OURS | _NUMBERS).get(name, name)}": (*path, name) for name in recipe}
        recipes.append(_read_recipe(recipe, path, artifacts, findings))
    named = [{"name": name} if name else {} for name in _names(recipes)]
    unitxt = [recipe | name for recipe, name in zip(recipes, named, strict=True)]
    return {"tasks": names, "unitxt": unitxt, "artifacts": artifacts}


def _names(recipes: list[dict[str, Any]]) -> list[str | None]:
    """Return a name for every recipe that would otherwise be called like one before it.

    LMEvalJob numbers recipes (``tr_0``); ours are called after card and template, which may say the same twice.
    """
    last: Counter[str] = Counter()
    taken: set[str] = set()
    names: list[str | None] = []
    for recipe in recipes:
        name = UnitxtRecipe.model_construct(card=recipe.get("card", ""), template=recipe.get("template")).task_name
        free = name
        while free in taken:
            last[name] += 1
            free = f"{name[:90]}.{last[name] + 1}"
        taken.add(free)
        names.append(None if free == name else free)
    return names


def _read_recipe(
    recipe: Mapping[str, Any], path: Path, artifacts: Mapping[str, Any], findings: Findings
) -> dict[str, Any]:
    found: dict[str, Any] = {"card": _read_card(recipe["card"], (*path, "card"), findings)}
    for name, kind in REFERENCES.items():
        if name in recipe:
            found[_OURS.get(name, name)] = _read_reference(recipe[name], (*path, name), kind, artifacts, findings)
    if metrics := recipe.get("metrics"):
        places = [(*path, "metrics", index) for index in range(len(metrics))]
        found["metrics"] = [
            _read_reference(metric, place, "metrics", artifacts, findings)
            for metric, place in zip(metrics, places, strict=True)
        ]
    found |= {ours: recipe[name] for name, ours in _NUMBERS.items() if name in recipe}
    return found | ({"format": recipe["format"]} if recipe.get("format") else {})


def _read_card(card: Mapping[str, Any], path: Path, findings: Findings) -> Any:
    name, custom = card.get("name"), card.get("custom")
    if bool(name) == bool(custom):
        findings.error(path, "needs either name or custom" + (", not both" if name else ""))
        return ""
    return name or _read_json(str(custom), (*path, "custom"), findings)


def _read_reference(
    value: Mapping[str, Any], path: Path, kind: str, artifacts: Mapping[str, Any], findings: Findings
) -> str:
    name, ref = value.get("name"), value.get("ref")
    if bool(name) == bool(ref):
        findings.error(path, "needs either name or ref" + (", not both" if name else ""))
        return ""
    known = artifacts.get(CUSTOM[kind], {})
    if ref and ref not in known:
        findings.error((*path, "ref"), f"{ref!r} is not among taskList.custom.{kind}: {', '.join(known) or 'none'}")
    elif name and name in known:
        findings.error((*path, "name"), f"{name!r} is also the name of a custom artifact; if that is meant, use ref")
    return str(name or ref)


def _read_custom(custom: Mapping[str, Any], findings: Findings, places: dict[str, Path]) -> dict[str, Any]:
    found: dict[str, dict[str, Any]] = {}
    taken: dict[str, str] = {}
    places["artifacts"] = (*TASK_LIST, "custom")
    for kind, items in custom.items():
        for index, item in enumerate(items):
            path, name = (*TASK_LIST, "custom", kind, index), item["name"]
            ours = CUSTOM[kind]
            places[f"artifacts.{ours}.{name}"] = places[f"artifacts: {ours}.{name}"] = (*path, "value")
            if name in taken:
                findings.error((*path, "name"), f"{name!r} is there twice (see {taken[name]}); give each its own name")
            taken[name] = kind
            value = item["value"]
            found.setdefault(ours, {})[name] = (
                value if kind == "systemPrompts" else _read_json(value, (*path, "value"), findings)
            )
    return found


def _read_json(text: str, path: Path, findings: Findings) -> dict[str, Any]:
    try:
        value = json.loads(text, parse_float=_finite, parse_constant=_finite, object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        findings.error(path, f"is no valid JSON: {error}")
        return {}
    if not isinstance(value, dict):
        findings.error(
            path, f"must be the JSON of an artifact, an object with '__type__'; found {type(value).__name__}"
        )
        return {}
    return value


def _finite(text: str) -> float:
    if not math.isfinite(number := float(text)):
        raise ValueError(f"the number {text}")
    return number


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if twice := [name for name, times in Counter(name for name, _ in pairs).items() if times > 1]:
        raise ValueError(f"the key {twice[0]!r} twice in one object")
    return dict(pairs)


def write_tasks(
    spec: EvalSpec, findings: Findings, origins: dict[Path, str], *, own_names: bool = False
) -> dict[str, Any]:
    """Return the ``taskList`` of a spec.

    :param origins: filled with which of our fields each part comes from.
    :param own_names: the caller knows which recipe is which, so that they may have names.
    """
    origins |= {(*TASK_LIST, "taskNames", index): f"tasks[{index}]" for index in range(len(spec.tasks))}
    written: dict[str, Any] = {}
    if spec.tasks:
        written["taskNames"] = [_write_name(task, index, findings) for index, task in enumerate(spec.tasks)]
    if spec.unitxt:
        expected = _names([recipe.model_dump() for recipe in spec.unitxt])
        written["taskRecipes"] = []
        for index, recipe in enumerate(spec.unitxt):
            origins[(*TASK_LIST, "taskRecipes", index)] = f"unitxt[{index}]"
            if recipe.name != expected[index] and not own_names:
                findings.error(("unitxt", index, "name"), "LMEvalJob numbers its recipes itself; leave the name out")
            written["taskRecipes"].append(_write_recipe(recipe, index, spec, findings))
    return written | _write_custom(spec, findings, origins)


def _write_name(task: Any, index: int, findings: Findings) -> str:
    if isinstance(task, str) and not task.startswith("suite:") and not set(task) & set("*?["):
        return task
    what = f"{task!r} stands for several tasks" if isinstance(task, str) else "a task defined in the spec"
    findings.error(
        ("tasks", index), f"{what}; LMEvalJob takes names of lm-eval, groups and tags included: list them one by one"
    )
    return "-"


def _write_recipe(recipe: UnitxtRecipe, index: int, spec: EvalSpec, findings: Findings) -> dict[str, Any]:
    artifacts = spec.artifacts.model_dump()
    written: dict[str, Any] = {"card": _write_card(recipe.card, index, artifacts, findings)}
    for name, kind in REFERENCES.items():
        value = getattr(recipe, _OURS.get(name, name))
        if isinstance(value, dict):
            findings.error(("unitxt", index, name), f"is written out; put it under artifacts.{CUSTOM[kind]} instead")
        elif value is not None:
            written[name] = {"ref" if value in artifacts[CUSTOM[kind]] else "name": value}
    if recipe.metrics:
        written["metrics"] = [{"ref" if name in artifacts["metrics"] else "name": name} for name in recipe.metrics]
    numbers = {name: value for name, ours in _NUMBERS.items() if (value := getattr(recipe, ours)) is not None}
    return written | numbers | ({"format": recipe.format} if recipe.format else {})


def _write_card(card: str | dict[str, Any], index: int, artifacts: Mapping[str, Any], findings: Findings) -> Any:
    if isinstance(card, dict):
        return {"custom": _json(card)}
    if card in artifacts["cards"]:
        findings.error(
            ("unitxt", index, "card"), "is among artifacts.cards; LMEvalJob takes the card in the recipe itself"
        )
    return {"name": card}


def _write_custom(spec: EvalSpec, findings: Findings, origins: dict[Path, str]) -> dict[str, Any]:
    custom: dict[str, Any] = {}
    for kind, ours in CUSTOM.items():
        for index, (name, value) in enumerate(getattr(spec.artifacts, ours).items()):
            if kind == "systemPrompts" and not isinstance(value, str):
                findings.error(("artifacts", ours, name), "LMEvalJob takes the text of a system prompt, no artifact")
            origins[(*TASK_LIST, "custom", kind, index)] = f"artifacts.{ours}.{name}"
            text = value if isinstance(value, str) else _json(value)
            custom.setdefault(kind, []).append({"name": name, "value": text})
    for name in _unwritten(spec):
        findings.error(("artifacts", "cards", name), "LMEvalJob has no custom cards; write the card into its recipe")
    return {"custom": custom} if custom else {}


def _unwritten(spec: EvalSpec) -> Iterator[str]:
    used = {recipe.card for recipe in spec.unitxt if isinstance(recipe.card, str)}
    return (name for name in spec.artifacts.cards if name not in used)


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
