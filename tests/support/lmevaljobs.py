"""``LMEvalJob`` manifests for tests: those in ``tests/data``, made-up ones, and what two equal ones look like.

``canonical`` says which differences mean nothing to the operator. It is written down here a second time, and shorter, so
that the translation is not held against itself.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from airflow_provider_lmeval.plan.lmevaljob import SourceDocument, read_documents
from airflow_provider_lmeval.plan.lmevaljob.schema import schema

DATA = Path(__file__).parents[1] / "data" / "lmevaljob"
Json = dict[str, Any]


def documents(name: str) -> list[SourceDocument]:
    """Return the jobs of a file in ``tests/data/lmevaljob``."""
    found = read_documents((DATA / f"{name}.yaml").read_text(encoding="utf-8"))
    return [document for document in found if document.is_lmevaljob]


def manifest(name: str) -> Json:
    """Return the only job of a file."""
    (document,) = documents(name)
    return document.data


def minimal(**spec: Any) -> Json:
    """Return the least that is an ``LMEvalJob``, with these fields in its spec."""
    needed = {
        "model": "hf",
        "modelArgs": [{"name": "pretrained", "value": "org/model"}],
        "taskList": {"taskNames": ["arc_easy"]},
    }
    return {"apiVersion": "trustyai.opendatahub.io/v1alpha1", "kind": "LMEvalJob", "spec": needed | spec}


def canonical(manifest: Json) -> Json:
    """Return a manifest in the one form that all manifests have that make the operator do the same."""
    spec = copy.deepcopy(manifest["spec"])
    spec = {"batchSize": "8", "allowOnline": False, "allowCodeExecution": False} | spec
    for name in ("modelArgs", "genArgs"):
        spec[name] = [item | {"value": _boolean(item.get("value", ""))} for item in spec.get(name, [])]
    spec["modelArgs"].sort(key=lambda item: item["name"])
    for items in spec["taskList"].get("custom", {}).values():
        for item in items:
            item["value"] = _json(item["value"])
    for recipe in spec["taskList"].get("taskRecipes", []):
        if "custom" in recipe["card"]:
            recipe["card"]["custom"] = _json(recipe["card"]["custom"])
    container = spec.get("pod", {}).get("container", {})
    env = [item if item.get("valueFrom") else {"name": item["name"], "value": item.get("value", "")}
           for item in container.get("env", [])]  # fmt: skip
    container["env"] = sorted(env, key=lambda item: item["name"])
    found = {key: _pruned(value, keep=key in ("outputs", "offline", "pod")) for key, value in spec.items()}
    kept = {key: value for key, value in found.items() if value not in (None, "", [], {})}
    spec = {key: value for key, value in kept.items() if not (value is False and key in ("logSamples", "suspend"))}
    return {**manifest, "spec": spec}


def _pruned(value: Any, *, keep: bool) -> Any:
    """Drop empty parts of our own level; inside Kubernetes' parts (``emptyDir: {}``) they mean something."""
    if not isinstance(value, dict):
        return value
    inner = {key: _pruned(item, keep=keep and key != "container") for key, item in value.items()}
    return {key: item for key, item in inner.items() if item not in ("", [], {})} if not keep or value else value


def _boolean(text: str) -> str:
    return text.capitalize() if text.lower() in ("true", "false") else text


def _json(text: str) -> str:
    return json.dumps(json.loads(text)) if text.startswith("{") else text


def leaves(node: Json | None = None, path: tuple[str, ...] = ("spec",)) -> Iterator[tuple[str, ...]]:
    """Yield the path of every field below ``spec`` that has no fields itself; ``[]`` stands for an item of a list."""
    node = schema()["properties"]["spec"] if node is None else node
    if node.get("properties"):
        for name, child in node["properties"].items():
            yield from leaves(child, (*path, name))
    elif "items" in node:
        yield from leaves(node["items"], (*path, "[]"))
    else:
        yield path


def with_leaf(path: tuple[str, ...], node: Json | None = None) -> Any:
    """Return the least value of a schema that has this leaf.

    :param path: below ``node``; empty for what is merely required.
    """
    node = schema()["properties"]["spec"] if node is None else node
    if node.get("type") == "array":
        return [with_leaf(path[1:], node["items"])]
    if "properties" in node:
        names = {*node.get("required", ()), *path[:1]}
        return {name: with_leaf(path[1:] if path[:1] == (name,) else (), node["properties"][name]) for name in names}
    if isinstance(node.get("additionalProperties"), dict):
        return {"key": with_leaf((), node["additionalProperties"])}
    return {"boolean": True, "integer": 1, "number": 1, "object": {"key": "value"}}.get(node.get("type", ""), "1")


def paths_of(value: Any, path: tuple[str, ...] = ("spec",)) -> Iterator[tuple[str, ...]]:
    """Yield the paths of all leaves of a value, as :func:`leaves` spells them."""
    if isinstance(value, dict) and value:
        for name, child in value.items():
            yield from paths_of(child, (*path, name))
    elif isinstance(value, list):
        for child in value:
            yield from paths_of(child, (*path, "[]"))
    else:
        yield path


COMMIT = "0123456789abcdef0123456789abcdef01234567"
WORD = st.text("abcxyz019", min_size=1, max_size=8)
IDENTIFIER = st.builds("{}_{}".format, st.sampled_from(["a", "b", "c"]), WORD)
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=30)
SAFE = st.text("abcXYZ019._/:- ", max_size=20)
PLAIN = st.none() | st.booleans() | st.integers(-10, 10) | TEXT
OBJECT = st.dictionaries(TEXT, PLAIN | st.lists(TEXT, max_size=2), max_size=3)
ARTIFACT = OBJECT.map(lambda found: {"__type__": "thing"} | found)
SELECTOR = st.builds(lambda name, key: {"name": name, "key": key}, WORD, WORD)
NUMBER = st.integers(0, 10**6).map(str) | st.floats(1e-3, 1e3).map(repr)


def _some(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Json]:
    return st.fixed_dictionaries({}, optional=fields)


def _recipe(custom: Json) -> st.SearchStrategy[Json]:
    """Return recipes that refer to these custom artifacts and to the catalogue."""

    def reference(kind: str) -> st.SearchStrategy[Json]:
        names = st.builds(lambda name: {"name": f"catalog.{name}"}, IDENTIFIER)
        own = [{"ref": item["name"]} for item in custom.get(kind, [])]
        return names | st.sampled_from(own) if own else names

    card = st.builds(lambda n: {"name": f"cards.{n}"}, IDENTIFIER) | ARTIFACT.map(lambda a: {"custom": json.dumps(a)})
    return st.fixed_dictionaries(
        {"card": card, "demosPoolSize": st.integers(1, 99)},
        optional={
            "template": reference("templates"), "systemPrompt": reference("systemPrompts"), "task": reference("tasks"),
            "metrics": st.lists(reference("metrics"), min_size=1, max_size=3), "format": IDENTIFIER,
            "loaderLimit": st.integers(1, 10**6), "numDemos": st.integers(0, 9),
        },
    )  # fmt: skip


@st.composite
def task_lists(draw: st.DrawFn) -> Json:
    """Draw a ``taskList``."""
    kinds = ("templates", "systemPrompts", "metrics", "tasks")
    names = draw(st.lists(IDENTIFIER, max_size=4, unique=True))
    custom: Json = {}
    for name in names:
        kind = draw(st.sampled_from(kinds))
        value = draw(SAFE) if kind == "systemPrompts" else json.dumps(draw(ARTIFACT))
        custom.setdefault(kind, []).append({"name": name, "value": value})
    found: Json = {"custom": custom} if custom else {}
    tasks = draw(st.lists(WORD, max_size=3, unique=True))
    recipes = draw(st.lists(_recipe(custom), min_size=not tasks, max_size=3))
    found |= {"taskNames": tasks} if tasks else {}
    found |= {"taskRecipes": recipes} if recipes else {}
    git = _some(
        url=st.just("https://example.com/a.git"), branch=st.sampled_from(["main", "v1", "HEAD", COMMIT]) | TEXT,
        commit=st.just(COMMIT) | WORD, path=st.sampled_from(["a/b", "a/", "./a", "../a", "/"]),
    )  # fmt: skip
    if draw(st.booleans()) and (source := draw(git)):
        found["customTasks"] = {"source": {"git": source}}
    return found


@st.composite
def pods(draw: st.DrawFn) -> Json:
    """Draw a ``pod``: environment and resources, and any of the CRD's other parts as the schema has them."""
    names = draw(st.lists(IDENTIFIER, max_size=4, unique=True))
    sources = SELECTOR.map(lambda s: {"valueFrom": {"secretKeyRef": s}}) | SELECTOR.map(
        lambda s: {"valueFrom": {"configMapKeyRef": s}}
    )
    env = [{"name": name} | draw(TEXT.map(lambda text: {"value": text}) | sources | st.just({})) for name in names]
    pod: Json = {}
    for path in draw(st.lists(st.sampled_from([p[2:] for p in leaves() if p[1] == "pod"]), max_size=3)):
        if path[:2] != ("container", "env"):
            _merge(pod, with_leaf(path, schema()["properties"]["spec"]["properties"]["pod"]))
    if env:
        _merge(pod, {"container": {"env": env}})
    return pod


def _merge(into: Json, other: Json) -> None:
    for key, value in other.items():
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            _merge(into[key], value)
        else:
            into[key] = value


@st.composite
def manifests(draw: st.DrawFn) -> Json:
    """Draw an ``LMEvalJob`` that the API server would take and lm-eval would understand."""
    model, arguments = draw(
        st.sampled_from(
            [
                ("hf", {"pretrained": "org/model", "dtype": "float32"}),
                ("local-completions", {"model": "m", "base_url": "https://host/v1/completions", "num_concurrent": "4"}),
                ("openai-completions", {"model": "davinci-002"}),
                ("watsonx_llm", {"model_id": "ibm/granite"}),
                ("textsynth", {"engine": "gptj_6B"}),
            ]
        )
    )
    extra = draw(
        st.dictionaries(IDENTIFIER, NUMBER | st.sampled_from(["True", "False", "None", "a/b:c", ""]), max_size=3)
    )
    pairs = [{"name": name, "value": value} for name, value in (arguments | extra).items()]
    generation = draw(st.dictionaries(IDENTIFIER, NUMBER | st.just("True"), max_size=2))
    found = minimal(model=model, modelArgs=pairs, taskList=draw(task_lists()))
    found["spec"] |= draw(
        _some(
            numFewShot=st.integers(0, 50), limit=st.integers(1, 10**9).map(str) | st.sampled_from(["0.5", "0.001"]),
            logSamples=st.booleans(), batchSize=st.sampled_from(["1", "24", "auto", "auto:4"]), systemInstruction=TEXT,
            suspend=st.booleans(), allowOnline=st.booleans(), allowCodeExecution=st.booleans(), pod=pods(),
            genArgs=st.just([{"name": name, "value": value} for name, value in generation.items()]),
            chatTemplate=st.sampled_from([{"enabled": True}, {"enabled": True, "name": "default"}]),
            outputs=_some(pvcName=WORD, pvcManaged=_some(size=WORD), oci=_oci()),
            offline=st.fixed_dictionaries({"storage": _some(pvcName=WORD, s3=_s3())}),
        )
    )  # fmt: skip
    metadata = draw(_some(name=WORD, namespace=WORD, labels=st.dictionaries(WORD, TEXT, min_size=1, max_size=2)))
    return found | ({"metadata": metadata} if metadata else {})


def _oci() -> st.SearchStrategy[Json]:
    optional = {"username": SELECTOR, "password": SELECTOR, "verifySSL": st.booleans(), "tag": WORD}
    return st.fixed_dictionaries({"registry": SELECTOR, "repository": WORD}, optional=optional)


def _s3() -> st.SearchStrategy[Json]:
    names = ("accessKeyId", "secretAccessKey", "bucket", "region", "endpoint")
    needed: dict[str, st.SearchStrategy[Any]] = dict.fromkeys(names, SELECTOR)
    optional = {"caBundle": SELECTOR, "verifySSL": st.booleans()}
    return st.fixed_dictionaries(needed | {"path": WORD | st.sampled_from(["", "/a", "../a"])}, optional=optional)
