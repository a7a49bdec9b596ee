"""Measure how much a reader of the source has to know: ``make house`` prints it as a table."""

import ast
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import FrameType

import grimp

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "angle_reco"
PACKAGE = "angle_reco"
DAY = timedelta(days=1)


def warm_homepage() -> tuple[int, int]:
    """Return how many Python frames of the package a cached homepage takes, and of how many files.

    The adapters are in memory; the page is in the cache, and nothing is stale.
    """
    from angle_reco import CategoryId, ItemId, Recommender, Settings, UserId
    from angle_reco.composition import memory_ports
    from angle_reco.testing import Bid, Item, MemoryMarketplace, User

    now = datetime.now(UTC)
    ann, art = UserId("ann"), CategoryId("art")
    lots = [
        Item(item_id=ItemId(f"lot-{number}"), title="Lot", category_id=art, listed_at=now - DAY)
        for number in range(60)
    ]
    market = MemoryMarketplace(
        users=[User(user_id=ann, last_sign_in_at=now)],
        items=lots,
        bids=[Bid(user_id=ann, item_id=lots[0].item_id, placed_at=now - DAY)],
    )
    frames = list[str]()

    def note(frame: FrameType, event: str, _: object) -> None:
        name = frame.f_code.co_filename
        if event == "call" and name.startswith(str(SOURCE)):
            frames.append(name)

    with Recommender(memory_ports(market), Settings()) as reco:
        view = reco.as_user("ann")
        for _ in range(3):
            view.homepage()
            reco._use_cases.settle()
        sys.setprofile(note)
        view.homepage()
        sys.setprofile(None)
    return len(frames), len(set(frames))


def lines() -> int:
    """Return how many lines there are without the test suites for adapters."""
    modules = (path for path in SOURCE.rglob("*.py") if SOURCE / "testing" not in path.parents)
    return sum(len(path.read_text("utf-8").splitlines()) for path in modules)


def names() -> int:
    """Return how many names the package exports."""
    import angle_reco

    return len(angle_reco.__all__)


def application(graph: grimp.ImportGraph) -> tuple[int, int, int]:
    """Return how many modules and import levels the application has, and how many imports."""
    above = f"{PACKAGE}.application"
    modules = {
        module for module in graph.find_descendants(above) if not graph.find_children(module)
    }
    imports = {
        module: graph.find_modules_directly_imported_by(module) & modules for module in modules
    }
    levels = dict[str, int]()

    def level(module: str, path: tuple[str, ...] = ()) -> int:
        if module not in levels:
            below = [level(one, (*path, module)) for one in imports[module] if one not in path]
            levels[module] = 1 + max(below, default=0)
        return levels[module]

    return len(modules), max(map(level, modules)), sum(map(len, imports.values()))


def cycles(graph: grimp.ImportGraph) -> int:
    """Return how many groups of modules import each other, also in functions."""
    index, low, stack, on_stack = dict[str, int](), dict[str, int](), list[str](), set[str]()
    found = 0

    def visit(module: str) -> None:
        nonlocal found
        index[module] = low[module] = len(index)
        stack.append(module)
        on_stack.add(module)
        for other in graph.find_modules_directly_imported_by(module):
            if other not in index:
                visit(other)
                low[module] = min(low[module], low[other])
            elif other in on_stack:
                low[module] = min(low[module], index[other])
        if low[module] == index[module]:
            group = set[str]()
            while module not in group:
                group.add(stack.pop())
            on_stack.difference_update(group)
            found += len(group) > 1

    for module in sorted(graph.modules):
        if module not in index:
            visit(module)
    return found


def longest() -> Iterator[str]:
    """Yield the modules of more than 400 lines, the longest first."""
    sizes = {
        path.relative_to(SOURCE): len(path.read_text("utf-8").splitlines())
        for path in SOURCE.rglob("*.py")
        if SOURCE / "testing" not in path.parents
    }
    for path, size in sorted(sizes.items(), key=lambda one: -one[1]):
        if size > 400:
            yield f"{path} {size}"


def functions() -> tuple[int, str]:
    """Return the length of the longest function, and where it is."""
    sizes = [
        (node.end_lineno - node.lineno + 1, f"{path.relative_to(SOURCE)}: {node.name}")
        for path in SOURCE.rglob("*.py")
        if SOURCE / "testing" not in path.parents
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.FunctionDef) and node.end_lineno is not None
    ]
    return max(sizes)


def main() -> int:
    """Print the table."""
    graph = grimp.build_graph(PACKAGE, exclude_type_checking_imports=True)
    frames, files = warm_homepage()
    modules, levels, imports = application(graph)
    length, where = functions()
    for what, figure in (
        ("frames / files of a warm homepage", f"{frames} / {files}"),
        ("application: modules, import levels, imports", f"{modules}, {levels}, {imports}"),
        ("import cycles", f"{cycles(graph)}"),
        ("lines without testing/", f"{lines():,}"),
        ("names exported", f"{names()}"),
        ("longest function", f"{length} ({where})"),
        ("modules over 400 lines", ", ".join(longest()) or "none"),
    ):
        print(f"{what:<44} {figure}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
