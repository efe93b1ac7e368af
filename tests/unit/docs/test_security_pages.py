"""What the pages on security and preflight say is what the code does and the tests hold."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from airflow_provider_lmeval.errors import SpecError
from airflow_provider_lmeval.plan import Grants, check
from airflow_provider_lmeval.plan.preflight_rules import RULES
from airflow_provider_lmeval.spec import EvalSpec

ROOT = Path(__file__).parents[3]
PACKAGE = ROOT / "airflow_provider_lmeval"


def rows(name: str) -> list[list[str]]:
    lines = (ROOT / "docs" / name).read_text(encoding="utf-8").splitlines()
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines if line.startswith("| ")][1:]


def ids_in_use() -> set[str]:
    """Return the ids of all problems that the code can find, by its syntax."""
    found = set()
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Problem" and node.args:
                first = node.args[0]
                options = [first.body, first.orelse] if isinstance(first, ast.IfExp) else [first]
                found |= {str(each.value) for each in options if isinstance(each, ast.Constant)}
    return found


def defined_in(path: Path) -> set[str]:
    """Return the names of a file's tests, by its syntax."""
    body = ast.parse(path.read_text(encoding="utf-8")).body
    functions = [node for node in body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    return {function.name for function in functions if function.name.startswith("test_")}


def test_every_threat_names_single_tests_that_exist() -> None:
    threats = rows("security.md")
    assert len(threats) >= 10
    for threat, _, _, held_by in threats:
        named = re.findall(r"`(.+?)`", held_by)
        assert named, threat
        for test in named:
            path, _, name = test.partition("::")
            assert (ROOT / path).is_file(), test
            assert name in defined_in(ROOT / path), test


def test_the_threats_of_the_adr_come_first() -> None:
    words = [threat for threat, *_ in rows("security.md")][:3]
    assert [threat.partition(":")[0] for threat in words] == ["Controller", *["User or controller"] * 2]
    assert ["status" in words[0], "data" in words[1], "unitxt" in words[2]] == [True] * 3


def test_every_rule_that_the_code_has_is_known_with_a_remedy() -> None:
    assert len(ids_in_use()) >= 15
    assert ids_in_use() <= set(RULES)
    assert [remedy for remedy in RULES.values() if not remedy.endswith(".") or len(remedy) > 120] == []


def test_every_rule_is_documented_with_its_remedy_in_the_order_of_the_code() -> None:
    text = (ROOT / "docs" / "preflight.md").read_text(encoding="utf-8")
    tables = re.findall(r"^\| (?:rule|check) \|.*\n\|-.*\n((?:\|.*\n)+)", text, re.MULTILINE)
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for table in tables for line in table.splitlines()]
    documented = {row[0].strip("`"): row[2] for row in cells}
    assert list(documented.items()) == list(RULES.items())


SERVED = {"type": "local-completions", "model": "mistral-24b-quantized", "base_url": "https://route/v1/completions"}
CHAT = {"type": "local-chat-completions", "base_url": "https://route/v1/chat/completions"}
TROUBLES: list[tuple[str, dict[str, object]]] = [
    ("hub-offline", {"model": SERVED | {"tokenizer": "mistralai/Mistral-Small-24B-Instruct-2501"}}),
    ("base-url", {"model": SERVED | {"base_url": "https://route"}}),
    ("loglikelihood-chat", {"model": SERVED | CHAT, "apply_chat_template": True}),
    ("tokenizer", {"model": SERVED}),
    ("loglikelihood-openai", {"model": SERVED | {"type": "openai-completions"}}),
]


def test_the_troubles_that_people_meet_first_are_the_first_rules() -> None:
    assert list(RULES)[:5] == [rule for rule, _ in TROUBLES]


@pytest.mark.parametrize(("rule", "fields"), [each for each in TROUBLES if each[0] != "base-url"])
def test_each_of_them_is_found_before_anything_runs(rule: str, fields: dict[str, object]) -> None:
    found = {problem.id: problem for problem in check(EvalSpec.parse({"tasks": ["arc_easy"]} | fields), Grants())}
    assert found[rule].remedy == RULES[rule]


def test_an_address_without_path_is_no_valid_spec() -> None:
    with pytest.raises(SpecError, match=r"\[base-url\]"):
        EvalSpec.parse({"tasks": ["arc_easy"]} | dict(TROUBLES)["base-url"])
