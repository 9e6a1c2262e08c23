"""Mutants of a module's functions: one place broken at a time, put into the running process. Writes to no file."""

from __future__ import annotations

import ast
import copy
import importlib
import types
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parent.parent
_OPPOSITE: Final[dict[type[ast.AST], type[ast.AST]]] = {
    ast.Eq: ast.NotEq, ast.NotEq: ast.Eq, ast.Lt: ast.GtE, ast.GtE: ast.Lt, ast.Gt: ast.LtE, ast.LtE: ast.Gt,
    ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.And: ast.Or, ast.Or: ast.And,
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.LShift: ast.RShift, ast.RShift: ast.LShift, ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
}  # fmt: skip
_BORDER: Final[dict[type[ast.AST], type[ast.AST]]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutant:
    module: str
    function: str  # qualified, as Python names it
    lines: range  # the function's own, its `def` left out
    line: int
    what: str
    tree: ast.Module

    def __str__(self) -> str:
        return f"{self.module}:{self.line} {self.function}: {self.what}"


def mutants_of(module: str) -> Iterator[Mutant]:
    """Every mutant of the functions of a module; texts of errors, docstrings and annotations are left alone."""
    source = (ROOT / (module.replace(".", "/") + ".py")).read_text(encoding="utf-8")
    tree = ast.parse(source)
    for path, function in _functions(tree, ""):
        count = sum(1 for _ in _changes(function))
        for number in range(count):
            mutated = copy.deepcopy(tree)
            target = dict(_functions(mutated, ""))[path]
            for at, (line, what, change) in enumerate(_changes(target)):
                if at == number:
                    change()
                    ast.fix_missing_locations(mutated)
                    lines = range(function.body[0].lineno, (function.end_lineno or 0) + 1)
                    yield Mutant(module=module, function=path, lines=lines, line=line, what=what, tree=mutated)
                    break


def _functions(node: ast.AST, prefix: str) -> Iterator[tuple[str, Any]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            if child.name not in ("__repr__", "__str__", "deconstruct"):
                yield f"{prefix}{child.name}", child
        elif isinstance(child, ast.ClassDef):
            yield from _functions(child, f"{prefix}{child.name}.")


def _changes(function: Any) -> Iterator[tuple[int, str, Any]]:
    """The places of one function that can be broken: line, in words, and what breaks it."""
    for statement in list(_statements(function)):
        parent, index = statement
        node = parent[index]
        if isinstance(node, ast.Raise) or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Call | ast.Await)):
            yield node.lineno, f"without: {_said(node)}", lambda p=parent, i=index: p.__setitem__(i, ast.Pass())
        if isinstance(node, ast.If):
            for value in (True, False):
                yield (
                    node.lineno,
                    f"if {value}: instead of {_said(node.test)}",
                    lambda n=node, v=value: setattr(n, "test", ast.Constant(v)),
                )
        for root in _expressions(node):
            yield from _in_expression(root)


def _statements(function: Any) -> Iterator[tuple[list[Any], int]]:
    for node in ast.walk(function):
        for name in ("body", "orelse", "finalbody"):
            block = getattr(node, name, None)
            if isinstance(block, list):
                for index, statement in enumerate(block):
                    if not (isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)):
                        yield block, index


def _expressions(statement: ast.stmt) -> Iterator[ast.AST]:
    """A statement's own expressions, without those of the blocks in it; no annotation, no text of an error."""
    if isinstance(statement, ast.Raise | ast.FunctionDef | ast.AsyncFunctionDef | ast.Assert):
        return
    for name, value in ast.iter_fields(statement):
        if name not in ("body", "orelse", "finalbody", "handlers", "annotation", "target", "targets"):
            for child in value if isinstance(value, list) else [value]:
                if isinstance(child, ast.AST):
                    yield child


def _in_expression(root: ast.AST) -> Iterator[tuple[int, str, Any]]:
    for node in ast.walk(root):
        if isinstance(node, ast.Compare):
            for index, operator in enumerate(node.ops):
                for table in (_OPPOSITE, _BORDER):
                    other = table.get(type(operator))
                    if other is not None:
                        yield (
                            node.lineno,
                            f"{other.__name__} in {_said(node)}",
                            lambda n=node, i=index, o=other: n.ops.__setitem__(i, o()),
                        )
        elif isinstance(node, ast.BoolOp | ast.BinOp) and type(node.op) in _OPPOSITE:
            other = _OPPOSITE[type(node.op)]
            yield node.lineno, f"{other.__name__} in {_said(node)}", lambda n=node, o=other: setattr(n, "op", o())
        elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            yield node.lineno, f"no not: {_said(node)}", lambda n=node: setattr(n, "op", ast.UAdd())
        elif isinstance(node, ast.Constant) and isinstance(node.value, bool):
            yield node.lineno, f"not {node.value}", lambda n=node: setattr(n, "value", not n.value)
        elif isinstance(node, ast.Constant) and isinstance(node.value, int):
            yield node.lineno, f"{node.value} + 1", lambda n=node: setattr(n, "value", n.value + 1)


def _said(node: ast.AST) -> str:
    text = " ".join(ast.unparse(node).split())
    return text if len(text) <= 80 else text[:80] + "…"


def swap_in(mutant: Mutant) -> None:
    """Give the function in memory the mutated code, so that whoever imported it runs it too."""
    # `+x` stands for the x of a removed `not`: by its truth, whatever its type.
    for node in ast.walk(mutant.tree):
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.UAdd):
            node.op, node.operand = ast.Not(), ast.UnaryOp(op=ast.Not(), operand=node.operand)
    ast.fix_missing_locations(mutant.tree)
    module = importlib.import_module(mutant.module)
    owner: Any = module
    *classes, name = mutant.function.split(".")
    for part in classes:
        owner = getattr(owner, part)
    held = vars(owner)[name]
    function = getattr(held, "__func__", None) or getattr(held, "fget", None) or held
    while hasattr(function, "__wrapped__"):
        function = function.__wrapped__
    if "__class__" in function.__code__.co_freevars:  # of super(): the mutant keeps the cell, even without the call
        dict(_functions(mutant.tree, ""))[mutant.function].body.append(ast.parse("if 0: __class__").body[0])
        ast.fix_missing_locations(mutant.tree)
    function.__code__ = next(
        code
        for code in _codes(compile(mutant.tree, str(module.__file__), "exec"))
        if code.co_qualname == mutant.function
    )
    for value in vars(module).values():
        if callable(getattr(value, "cache_clear", None)):
            value.cache_clear()


def _codes(code: types.CodeType) -> Iterator[types.CodeType]:
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield constant
            yield from _codes(constant)
