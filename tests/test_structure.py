"""The house keeps its shape: who may import whom, who may open what, how long a module may be."""

from __future__ import annotations

import ast
import graphlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FLOORS = ("vision", "index", "webapp")  # each may import those before it
MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for floor in FLOORS
    for path in sorted((ROOT / floor).rglob("*.py"))
}
TREES = {name: ast.parse(path.read_text(encoding="utf-8")) for name, path in MODULES.items()}
LONGEST = 320

# Who alone may import a library, as beginnings of module names.
RESERVED = {
    "faiss": ("index.vectors",),
    "sqlalchemy": ("index.",),
    "sqlite3": ("index.",),
    "torch": ("vision.",),
    "torchvision": ("vision.",),
    "timm": ("vision.",),
    "open_clip": ("vision.",),
    "flask": ("webapp.",),
    "click": ("webapp.",),
    "rich": ("webapp.",),
}


def statements(node: ast.AST) -> Iterator[ast.AST]:
    """Yield a tree's nodes, without what only the type checker reads."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test):
            continue
        yield child
        yield from statements(child)


def imports(name: str) -> set[str]:
    """Return the modules that a module imports, at any place in it."""
    found = set()
    for node in statements(TREES[name]):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name}: imports are absolute"
            module = node.module or ""
            found.update(
                full if (full := f"{module}.{alias.name}") in MODULES else module
                for alias in node.names
            )
    return found


def calls(name: str) -> Iterator[tuple[str, ast.Call]]:
    """Yield the calls in a module with the dotted name of what is called."""
    for node in ast.walk(TREES[name]):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node


def public(name: str) -> Iterator[tuple[str, ast.FunctionDef | ast.ClassDef]]:
    """Yield the public functions and classes of a module, with the methods of the classes."""
    for node in TREES[name].body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            yield node.name, node
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            for inner in node.body:
                if isinstance(inner, ast.FunctionDef) and not inner.name.startswith("_"):
                    yield f"{node.name}.{inner.name}", inner


def test_every_package_is_shipped() -> None:
    import tomllib

    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    packages = settings["tool"]["setuptools"]["packages"]
    assert {path.parent for path in MODULES.values()} <= {
        ROOT / package.replace(".", "/") for package in packages
    }


def test_every_room_is_on_the_plan() -> None:
    plan = (ROOT / "docs" / "design.md").read_text(encoding="utf-8")
    packages = {path.parent.relative_to(ROOT).as_posix() for path in MODULES.values()}
    named = set(re.findall(r"`((?:\w+/)*\w+)/?`", plan))
    assert [each for each in packages if {each, each.partition("/")[2]}.isdisjoint(named)] == []


@pytest.mark.parametrize("name", MODULES)
def test_imports_go_down_only(name: str) -> None:
    floor = FLOORS.index(name.partition(".")[0])
    for module in imports(name):
        other = module.partition(".")[0]
        if other in FLOORS:
            assert FLOORS.index(other) <= floor, f"{name} imports {module}"
        assert other not in ("tests", "benchmarks"), f"{name} imports {module}"


def test_no_module_imports_itself_by_way_of_others() -> None:
    graph = {name: imports(name) & set(MODULES) for name in MODULES}
    list(graphlib.TopologicalSorter(graph).static_order())  # raises CycleError with the cycle


@pytest.mark.parametrize("name", MODULES)
def test_each_library_has_its_place(name: str) -> None:
    for module in imports(name):
        places = RESERVED.get(module.partition(".")[0], ("",))
        assert f"{name}.".startswith(places), f"{name} imports {module}"


@pytest.mark.parametrize("name", MODULES)
def test_pictures_are_opened_in_one_place(name: str) -> None:
    if name in ("vision.images", "vision.pictures.views"):  # the latter opens what it has just made
        return
    for called, _ in calls(name):
        assert called not in ("PIL.Image.open", "PillowImage.open", "Image.open"), name
        assert not called.endswith(("ImageFile.Parser", "register_heif_opener")), name


@pytest.mark.parametrize("name", MODULES)
def test_nothing_from_outside_is_unpickled(name: str) -> None:
    for called, call in calls(name):
        given = {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
        if called == "torch.load":
            assert given.get("weights_only") == "True", f"{name} calls torch.load"
        assert called not in ("pickle.load", "pickle.loads", "pickle.Unpickler"), name
        assert called not in ("joblib.load", "eval", "exec", "os.system"), name
        if called in ("np.load", "numpy.load"):
            assert given.get("allow_pickle", "False") == "False", name
        assert given.get("shell") != "True", name


@pytest.mark.parametrize("name", MODULES)
def test_modules_are_short_and_say_what_they_are(name: str) -> None:
    lines = len(MODULES[name].read_text(encoding="utf-8").splitlines())
    assert lines <= LONGEST, f"{name} has {lines} lines: find the cut"
    first = (ast.get_docstring(TREES[name]) or "").split("\n\n")[0]
    assert first.endswith((".", ":")), f"{name} does not begin with a sentence that says what it is"


@pytest.mark.parametrize("name", MODULES)
def test_what_is_public_is_described_and_typed(name: str) -> None:
    for title, node in public(name):
        assert ast.get_docstring(node), f"{name}.{title} has no docstring"
        if isinstance(node, ast.FunctionDef):
            spec = node.args
            taken = [*spec.posonlyargs, *spec.args, *spec.kwonlyargs, spec.vararg, spec.kwarg]
            bare = [a.arg for a in taken if a is not None and a.annotation is None]
            assert set(bare) <= {"self", "cls"}, f"{name}.{title}: {bare} without a type"
            assert node.returns is not None, f"{name}.{title} does not say what it returns"


def test_tests_are_named_after_modules() -> None:
    """``tests`` stays flat: a ``tests/vision`` package would hide the real one."""
    assert not [path for path in (ROOT / "tests").iterdir() if (path / "__init__.py").exists()]
