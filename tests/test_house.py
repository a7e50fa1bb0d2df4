"""The rule for the inside of a room, read off the files: sizes of folders, prefixes, circles, mirrored tests."""

import ast
import functools
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ROOMS = ("core", "grounder", "data", "eval", "detector", "siglip", "upscale", "onestage", "pipeline")
FLAT = {"core"}  # single nouns of one page each
MOST_FILES = 15
ENTRIES = {"__init__", "__main__"}


def python_files() -> list[Path]:
    return [path.relative_to(ROOT) for room in ROOMS for path in sorted((ROOT / room).rglob("*.py"))]


def folders() -> dict[Path, list[str]]:
    """The stems of each folder's Python files, `__init__` and `__main__` left out."""
    found: dict[Path, list[str]] = {}
    for path in python_files():
        found.setdefault(path.parent, []).extend([path.stem] if path.stem not in ENTRIES else [])
    return found


def module_of(path: Path) -> str:
    return ".".join(path.with_suffix("").parts).removesuffix(".__init__")


def imports_of(path: Path) -> set[str]:
    """Every module that a file names in an import, inside functions and under TYPE_CHECKING too."""
    named: set[str] = set()
    for node in ast.walk(ast.parse((ROOT / path).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            named |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports by relative name"
            named |= {str(node.module)} | {f"{node.module}.{alias.name}" for alias in node.names}
    return named


@functools.cache
def graph() -> dict[str, set[str]]:
    """Which of our modules each of our modules imports."""
    files = {module_of(path): path for path in python_files()}
    return {module: imports_of(path) & files.keys() - {module} for module, path in files.items()}


def circles(edges: dict[str, set[str]]) -> list[list[str]]:
    """The strongly connected groups of two modules and more (Tarjan, iterative by path)."""
    order: dict[str, int] = {}
    lowest: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(module: str) -> None:
        order[module] = lowest[module] = len(order)
        stack.append(module)
        for other in edges[module]:
            if other not in order:
                visit(other)
            if other in stack:
                lowest[module] = min(lowest[module], lowest[other])
        if lowest[module] == order[module]:
            group = stack[stack.index(module) :]
            del stack[stack.index(module) :]
            if len(group) > 1:
                found.append(sorted(group))

    for module in edges:
        if module not in order:
            visit(module)
    return found


def test_no_folder_is_a_heap() -> None:
    crowded = {str(f): len(stems) for f, stems in folders().items() if len(stems) > MOST_FILES and str(f) not in FLAT}
    assert not crowded


def test_no_three_files_share_a_prefix() -> None:
    shared = {
        f"{folder}/{prefix}_*": number
        for folder, stems in folders().items()
        for prefix, number in Counter(stem.split("_")[0] for stem in stems).items()
        if number >= 3
    }
    assert not shared


def test_no_circle_of_imports() -> None:
    assert circles(graph()) == []


def test_a_circle_would_be_found() -> None:
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": {"a"}}) == [["b", "c"]]


@pytest.mark.parametrize("command", [module_of(f) for f in folders() if (ROOT / f / "__main__.py").is_file()])
def test_a_folder_with_a_main_is_a_command(command: str) -> None:
    """Its `__init__` has `run` and `main`, its settings stand in a module of their own, its workers know neither."""
    if command == "grounder":  # `python -m grounder`, the list of commands
        return
    tree = ast.parse((ROOT / command.replace(".", "/") / "__init__.py").read_text(encoding="utf-8"))
    assert {"run", "main"} <= {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    assert [n.name for n in tree.body if isinstance(n, ast.ClassDef) and n.name.endswith("Config")] == []
    workers = [module for module in graph() if module.startswith(f"{command}.") and not module.endswith(".__main__")]
    assert [worker for worker in workers if command in graph()[worker]] == []


def test_tests_mirror_the_rooms() -> None:
    """A test file stands in the folder that its subject stands in."""
    ours = {str(folder) for folder in folders()}
    strays = [
        str(path.relative_to(ROOT))
        for room in ROOMS
        for path in sorted((ROOT / "tests" / room).rglob("test_*.py"))
        if str(path.parent.relative_to(ROOT / "tests")) not in ours
    ]
    assert strays == []
