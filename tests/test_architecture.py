"""The walls of the package, read off its import statements (DESIGN.md, The shape of the code)."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "foxora_addon"
MODULES = sorted(PACKAGE.rglob("*.py"))

PURE_OF_THE_TRAIL = (
    *("addresses", "chain", "contents", "escapes", "facts", "line", "looks"),
    *("pieces", "probable", "record", "redaction", "screen"),
)
PURE = [
    *sorted((PACKAGE / "api").rglob("*.py")),
    *sorted((PACKAGE / "policy").rglob("*.py")),
    *sorted((PACKAGE / "reading").rglob("*.py")),
    *(PACKAGE / name for name in ("ending.py", "exchange.py", "pipeline.py", "shown.py")),
    *(PACKAGE / "audit" / f"{name}.py" for name in PURE_OF_THE_TRAIL),
]
WORLD = (
    *("asyncio", "contextvars", "glob", "http.client", "http.server", "io", "logging"),
    *("mitmproxy", "multiprocessing", "os", "pathlib", "random", "redis", "requests", "secrets"),
    *("select", "shutil", "signal", "socket", "sqlite3", "ssl", "subprocess", "tempfile"),
    *("threading", "time", "tornado", "urllib.request", "uuid"),
)
EFFECTS = {"input", "now", "open", "print", "today", "utcnow"}


def imports_of(module: Path) -> Iterator[str]:
    """Each name that a module imports, wherever it does: `from a.b import c` is a.b.c."""
    for node in ast.walk(ast.parse(module.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{'.' * node.level}{node.module}.{alias.name}" for alias in node.names)


def calls_of(module: Path) -> Iterator[str]:
    """The last name of each function that a module calls."""
    for node in ast.walk(ast.parse(module.read_text("utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name | ast.Attribute):
            yield node.func.id if isinstance(node.func, ast.Name) else node.func.attr


def is_within(name: str, package: str) -> bool:
    return f"{name}.".startswith(f"{package}.")


def importers_of(package: str) -> set[str]:
    """The modules that import a package or something of it, as paths inside ours."""
    return {
        module.relative_to(PACKAGE).as_posix()
        for module in MODULES
        if any(is_within(name, package) for name in imports_of(module))
    }


def parts_of(modules: set[str]) -> set[str]:
    return {module.split("/")[0] for module in modules}


@pytest.mark.parametrize("module", PURE, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_a_pure_module_touches_nothing_of_the_world(module: Path) -> None:
    imported = {name for name in imports_of(module) if any(is_within(name, w) for w in WORLD)}
    assert not imported
    assert EFFECTS.isdisjoint(calls_of(module))


def test_only_the_proxy_knows_mitmproxy() -> None:
    assert parts_of(importers_of("mitmproxy")) == {"proxy"}


def test_only_the_redis_store_knows_redis() -> None:
    assert importers_of("redis") <= {"stores/redis.py"}


def test_only_one_module_knows_the_tokenizer() -> None:
    assert importers_of("bpe_openai") == {"bpe.py"}


def test_only_the_command_line_knows_the_command_line() -> None:
    assert parts_of(importers_of("foxora_addon.app")) <= {"app"}


def test_the_mock_gateway_knows_nothing_else_of_ours() -> None:
    ours = {
        name
        for module in (PACKAGE / "mock").rglob("*.py")
        for name in imports_of(module)
        if is_within(name, "foxora_addon")
    }
    assert ours
    assert not {name for name in ours if not is_within(name, "foxora_addon.mock")}


def test_no_import_is_relative() -> None:
    assert not [name for module in MODULES for name in imports_of(module) if name.startswith(".")]
