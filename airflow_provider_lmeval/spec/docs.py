"""The strings under a model's fields, read when somebody asks for them.

pydantic can collect them itself (``use_attribute_docstrings``), but does so while a class is being made, by parsing its
source. For all our models that is a tenth of a second, which every process that imports a DAG file would pay for a help
text that only the trigger form and the JSON schema show.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from functools import cache
from itertools import pairwise

from pydantic import BaseModel


@cache
def field_docs(model: type[BaseModel]) -> dict[str, str]:
    """Return the documentation of a model's fields, inherited ones included, by field name.

    :param model: a class whose source can be read; without it there is no documentation.
    """
    bases = [base for base in reversed(model.__mro__) if issubclass(base, BaseModel) and base is not BaseModel]
    return {name: text for base in bases for name, text in _own_docs(base).items()}


@cache
def _own_docs(model: type[BaseModel]) -> dict[str, str]:
    try:
        (definition,) = ast.parse(textwrap.dedent(inspect.getsource(model))).body
    except (OSError, SyntaxError):
        return {}
    return {
        field.target.id: inspect.cleandoc(string.value.value)
        for field, string in pairwise(getattr(definition, "body", []))
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
        if isinstance(string, ast.Expr)
        and isinstance(string.value, ast.Constant)
        and isinstance(string.value.value, str)
    }
