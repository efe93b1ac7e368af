"""Read lm-eval's Python tasks from their source.

Thirty of lm-eval's tasks are classes, not YAML. Constructing one loads its data set, and importing its module
may fail on what else is installed (lm-eval 0.4.13's ``scrolls`` needs a transformers module that transformers 5
removed), so the catalogue would differ from machine to machine. What it needs is written in the class body, and
:mod:`ast` reads it there.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from typing import Any


def class_config(source: str, class_name: str) -> Mapping[str, Any]:
    """Return what a class says about its task, under the keys of a YAML configuration.

    :param source: the text of the module; base classes are looked up in it and nowhere else.
    :returns: ``metric_list`` is empty where the metrics depend on the data; ``output_type`` is the request that fewer
        models can answer, where the class sends several kinds.
    """
    lineage = list(_lineage(source, class_name))
    constants = _constants(lineage)
    return {
        "output_type": _output_type(lineage),
        "metric_list": _metric_list(lineage),
        "unsafe_code": constants.get("UNSAFE_CODE", False),
        "dataset_path": constants.get("DATASET_PATH"),
        "dataset_name": constants.get("DATASET_NAME"),
        "metadata": {"version": constants["VERSION"]} if "VERSION" in constants else {},
    }


def _lineage(source: str, class_name: str) -> Iterator[ast.ClassDef]:
    """Yield the class and its base classes in the same module, nearest first."""
    classes = {node.name: node for node in ast.parse(source).body if isinstance(node, ast.ClassDef)}
    pending = [class_name]
    while pending:
        node = classes.get(pending.pop(0))
        if node is not None:
            yield node
            pending += [base.id for base in node.bases if isinstance(base, ast.Name)]


def _constants(lineage: list[ast.ClassDef]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for node in lineage:
        for statement in node.body:
            match statement:
                case ast.Assign(targets=[ast.Name(id=name)], value=ast.Constant(value=value)):
                    found.setdefault(name, value)
    return found


def _output_type(lineage: list[ast.ClassDef]) -> str | None:
    sent: list[str] = []
    for node in _parts(_method(lineage, "construct_requests")):
        match node:
            case ast.keyword(arg="request_type", value=ast.Constant(value=str(kind))):
                sent.append(kind)
    return "loglikelihood" if "loglikelihood" in sent else next(iter(sent), None)


def _metric_list(lineage: list[ast.ClassDef]) -> list[dict[str, Any]]:
    """Return the metrics from ``higher_is_better``, or without directions from what ``process_results`` returns."""
    directions = _returned(_method(lineage, "higher_is_better"))
    if directions:
        return [{"metric": name, "higher_is_better": ast.literal_eval(value)} for name, value in directions.items()]
    return [{"metric": name} for name in _returned(_method(lineage, "process_results"))]


def _method(lineage: list[ast.ClassDef], name: str) -> ast.FunctionDef | None:
    methods = (each for node in lineage for each in node.body if isinstance(each, ast.FunctionDef))
    return next((each for each in methods if each.name == name), None)


def _returned(method: ast.FunctionDef | None) -> dict[str, ast.expr]:
    """Return the entries with literal keys of a dictionary that the method returns as it is written."""
    for node in _parts(method):
        match node:
            case ast.Return(value=ast.Dict(keys=keys, values=values)):
                return {ast.literal_eval(key): value for key, value in zip(keys, values, strict=True) if key}
    return {}


def _parts(method: ast.FunctionDef | None) -> Iterator[ast.AST]:
    return ast.walk(method) if method else iter(())
