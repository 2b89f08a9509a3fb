"""A hash of source code, equal for changes of comments, docstrings and formatting."""

from __future__ import annotations

import ast
import hashlib
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from benchmarks import PROJECT_ROOT

CPP_COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL)
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
BLOCKS = ("body", "orelse", "finalbody", "handlers", "cases")


@cache
def source_hash(modules: tuple[str, ...], within: tuple[str, ...]) -> str:
    """Hash modules and packages of this project, and what they import, at any level.

    Args:
        modules: where to begin; all modules of a package belong to it.
        within: packages whose modules are followed; imports of others are not.

    Returns:
        12 hexadecimal digits. C++ files beside a module belong to it.
    """
    files: dict[Path, str] = {}
    waiting = [file for name in modules for file in files_of(name)]
    while waiting:
        file = waiting.pop()
        if file in files:
            continue
        files[file] = ""
        text = file.read_text(encoding="utf-8")
        if file.suffix != ".py":
            files[file] = " ".join(CPP_COMMENT.sub("", text).split())
            continue
        tree = ast.parse(text)
        for name in imported(tree):
            if any(name == each or name.startswith(f"{each}.") for each in within):
                waiting += files_of(name)[:1]
        waiting += [*file.parent.glob("*.cpp"), *file.parent.glob("*.h")]
        files[file] = ast.unparse(without_docstrings(tree))
    sha = hashlib.sha256()
    for file in sorted(files):
        sha.update(f"{file.relative_to(PROJECT_ROOT).as_posix()}\n{files[file]}\n".encode())
    return sha.hexdigest()[:12]


def files_of(name: str) -> list[Path]:
    """Return the file of a module, or those of a package, its `__init__` first."""
    place = PROJECT_ROOT.joinpath(*name.split("."))
    if place.is_dir():
        return [place / "__init__.py", *sorted(place.glob("*.py"))]
    return [place.with_suffix(".py")] if place.with_suffix(".py").is_file() else []


def statements(node: ast.AST) -> Iterator[ast.AST]:
    """Yield a node and the statements in it, at any level; expressions contain none."""
    yield node
    for block in BLOCKS:
        inner = getattr(node, block, ())
        for statement in inner if isinstance(inner, list) else ():
            yield from statements(statement)


def imported(tree: ast.Module) -> Iterator[str]:
    """Yield the modules that a module may import, and names in them, which may be modules."""
    for node in statements(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def without_docstrings(tree: ast.Module) -> ast.Module:
    """Return a module whose docstrings are replaced by `pass`."""
    for node in statements(tree):
        if isinstance(node, DOCUMENTED) and ast.get_docstring(node, clean=False) is not None:
            node.body[0] = ast.Pass()
    return tree
