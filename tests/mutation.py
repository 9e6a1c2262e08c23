"""`make mutation`: breaks a guard's code in one place at a time and counts how often its own tests notice.

One warm process forks for every mutant, swaps the mutated function's code in, and runs the guard's tests there: about a
second each, where mutmut and cosmic-ray start Python, Django and a database anew for every one. A mutant that hangs is
killed by time. Nothing is written to the tree.
"""

from __future__ import annotations

import argparse
import ast
import copy
import importlib
import os
import random
import signal
import sys
import time
import types
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parent.parent
LIMIT_S: Final = 240
BARE: Final = ["-c", os.devnull, "--rootdir", str(ROOT), "--noconftest", "-p", "no:django"]
KILLED, SURVIVED, TIMED_OUT = "killed", "survived", "timed out"


@dataclass(frozen=True, slots=True, kw_only=True)
class Guard:
    modules: tuple[str, ...]
    tests: tuple[str, ...]
    bare: bool = False  # pure functions: no Django, no database, no conftest


GUARDS: Final = {
    "egress": Guard(modules=("adapters.egress",), tests=("tests/adapters/test_egress.py",), bare=True),
    "resolver": Guard(modules=("adapters.connections",), tests=("tests/adapters/test_transport_dns.py",)),
    "redaction": Guard(modules=("adapters.redaction",), tests=("tests/adapters/test_redaction.py",), bare=True),
    "vault": Guard(
        modules=("registry.vault.keyring", "registry.vault.fields", "registry.vault.row_security"),
        tests=("tests/vault",),
    ),
    "tokens": Guard(
        modules=("registry.access.tokens", "registry.models.access_token"),
        tests=("tests/access/test_tokens.py", "tests/access/test_token_rotation.py"),
    ),
    "budgets": Guard(
        modules=("registry.routing.budgets", "registry.models.budget"), tests=("tests/routing/test_budgets.py",)
    ),
    "visibility": Guard(modules=("registry.models.base",), tests=("tests/models",)),
    "endpoints": Guard(modules=("registry.catalog.endpoints",), tests=("tests/catalog/test_endpoints.py",)),
}
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
    line: int
    what: str
    tree: ast.Module


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
                    yield Mutant(module=module, function=path, line=line, what=what, tree=mutated)
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
    found = next(
        code
        for code in _codes(compile(mutant.tree, str(module.__file__), "exec"))
        if code.co_qualname == mutant.function
    )
    owner: Any = module
    *classes, name = mutant.function.split(".")
    for part in classes:
        owner = getattr(owner, part)
    held = vars(owner)[name]
    function = getattr(held, "__func__", None) or getattr(held, "fget", None) or held
    while hasattr(function, "__wrapped__"):
        function = function.__wrapped__
    function.__code__ = found


def _codes(code: types.CodeType) -> Iterator[types.CodeType]:
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield constant
            yield from _codes(constant)


def outcome_of(guard: Guard, mutant: Mutant | None) -> str:
    """Run the guard's tests in a fork with the mutant in place; None runs them on the code as it is."""
    child = os.fork()
    if child == 0:
        code = 3
        try:
            os.setpgid(0, 0)
            signal.alarm(LIMIT_S)
            quiet = os.open(os.devnull, os.O_WRONLY)
            os.dup2(quiet, 1)
            os.dup2(quiet, 2)
            if mutant is not None:
                swap_in(mutant)
            import pytest

            arguments = ["-x", "-q", "-p", "no:cacheprovider", "-p", "no:xdist"]
            arguments += BARE if guard.bare else ["--reuse-db"]
            code = int(pytest.main([*arguments, *guard.tests]))
        except BaseException:
            code = 3
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return TIMED_OUT
    return SURVIVED if os.WEXITSTATUS(status) == 0 else KILLED


def run(name: str, guard: Guard, at_most: int, seed: int) -> tuple[int, int]:
    """Answer how many mutants were noticed, of how many; survivors are printed."""
    mutants = [mutant for module in guard.modules for mutant in mutants_of(module)]
    found = len(mutants)
    if at_most and found > at_most:
        mutants = sorted(random.Random(seed).sample(mutants, at_most), key=lambda m: (m.module, m.line))
    if outcome_of(guard, None) != SURVIVED:
        raise SystemExit(f"{name}: its tests fail on the code as it is")
    begun, noticed = time.monotonic(), 0
    for mutant in mutants:
        outcome = outcome_of(guard, mutant)
        noticed += outcome != SURVIVED
        if outcome == SURVIVED:
            print(f"  survived: {mutant.module}:{mutant.line} {mutant.function}: {mutant.what}", flush=True)
    share = 100 * noticed / len(mutants)
    took = time.monotonic() - begun
    print(f"{name}: {noticed} of {len(mutants)} killed ({share:.1f} %), of {found} there are; {took:.0f} s", flush=True)
    return noticed, len(mutants)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("guards", nargs="*", choices=[[], *GUARDS], default=[])
    parser.add_argument("--at-most", type=int, default=0, metavar="N", help="a sample of N mutants a guard; 0: all")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--floor", type=float, default=90.0, help="fail below so many percent (default 90)")
    options = parser.parse_args()
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
    os.chdir(ROOT)
    import django

    django.setup()
    bad = 0
    for name in options.guards or GUARDS:
        noticed, total = run(name, GUARDS[name], options.at_most, options.seed)
        bad += 100 * noticed < options.floor * total
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
