"""Sphinx extension that adds to the pages what is not Markdown.

- A README gets a table of contents: the pages that it lists.
- A page of `docs/reference/` gets the public names of the modules in its headings. A name that
  several modules have is documented under one of them, and the others link to it.
- A name in a docstring or a signature becomes a link, whichever module it is imported from.
"""

import ast
import enum
import importlib
import inspect
import re
from collections.abc import Iterator
from datetime import timedelta
from functools import cache
from pathlib import Path
from types import FunctionType
from typing import Any, get_origin

import attrs
import numpy as np
from sphinx.pycode import ModuleAnalyzer
from sphinx.util import logging
from sphinx.util.inspect import stringify_signature
from sphinx.util.typing import stringify_annotation

from angle_reco.event_calls import EventCalls

_log = logging.getLogger(__name__)

TOPICS = ("components", "errors", "events", "results", "rules", "sql", "testing", "types")
"""The modules whose pages document their names; the root links to those that it has as well."""

_LISTED = re.compile(r"^(?:-|\|) \[[^]]*\]\(([\w./-]+\.md)\)|^(For [\w ]+):$", re.MULTILINE)
"""A page in a list or in the first column of a table, or the line above a table."""

_MODULE_HEADING = re.compile(r"^#+ (angle_reco[\w.]*)$", re.MULTILINE)

_ARRAY = re.compile(
    r"~?(?:numpy\.)?ndarray\[tuple\[~?(?:typing\.)?Any, \.\.\.\], ~?(?:numpy\.)?dtype(\[[^]]*\])\]"
)
_RAISED = re.compile(r"^ {4}(\w+): (.*)")

_INCOMPLETE = {"angle_reco.composition": ("Ports", "memory_ports", "sql_ports")}
"""The public names of modules that have other names, too."""

_INTERNAL = {"AsyncRecommender", "AsyncView", "Storage", "StoredView", "View"}
"""Classes that only the library creates: their constructors are not public."""


def setup(app: Any) -> dict[str, bool]:
    """Register the extension."""
    app.connect("source-read", add_generated_parts)
    app.connect("missing-reference", link_public_name)
    app.connect("autodoc-process-docstring", rewrite_docstring)
    app.connect("autodoc-process-signature", rewrite_signature)
    app.connect("build-finished", write_index)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def add_generated_parts(_: Any, page: str, source: list[str]) -> None:
    """Append the table of contents to a README, and its names to a page of the reference."""
    path = Path(page)
    if path.name == "README":
        source[0] += "".join(contents_of(source[0]))
    elif path.parent.name == "reference":
        source[0] = with_names(source[0])


def contents_of(text: str) -> Iterator[str]:
    """Yield a table of contents for each list of pages in a README."""
    pages: dict[str, list[str]] = {}
    caption = ""
    for page, heading in _LISTED.findall(text):
        caption = heading or caption
        if page:
            pages.setdefault(caption, []).append(page)
    for caption, listed in pages.items():
        options = [":hidden:", *([f":caption: {caption}"] if caption else [])]
        yield "\n".join(["", "```{toctree}", *options, "", *listed, "```", ""])


def with_names(text: str) -> str:
    """Return a page with the names of each module at the end of the section about it."""
    parts = _MODULE_HEADING.split(text)
    page = parts[0]
    for module, section in zip(parts[1::2], parts[2::2], strict=True):
        level = "#" if not page.strip() else "##"
        page += f"{level} {module}{section}\n" + "\n".join(names_in(module)) + "\n"
    return page


def names_in(module: str) -> Iterator[str]:
    """Yield the Markdown that documents the names of a module."""
    elsewhere = []
    yield f"```{{eval-rst}}\n.. py:module:: {module}\n"
    for name in public_names(module):
        home = homes().get(name, module)
        if home == module:
            yield from directive(module, name)
        else:
            elsewhere.append(f"{{py:obj}}`{home}.{name}`")
    yield "```"
    if elsewhere:
        yield f"\nDocumented under their topics: {', '.join(elsewhere)}."


def directive(module: str, name: str) -> Iterator[str]:
    """Yield the directive that documents one name."""
    value = getattr(importlib.import_module(module), name)
    if inspect.isclass(value):
        yield f".. autoclass:: {name}"
        if module != "angle_reco.testing.contracts":
            yield "   :members:"
        if issubclass(value, EventCalls):
            yield "   :inherited-members:"
        if issubclass(value, enum.Enum):
            yield "   :undoc-members:"
        if issubclass(value, Exception):
            yield "   :show-inheritance:"
        if inspect.isfunction(init := vars(value).get("__init__")) and _is_written(init.__doc__):
            yield "   :class-doc-from: both"
    elif inspect.isfunction(value):
        yield f".. autofunction:: {name}"
    elif inspect.ismodule(value):
        yield f".. automodule:: {module}.{name}\n   :members:\n\n.. py:currentmodule:: {module}"
    else:
        yield from assigned(module, name)
    yield ""


def assigned(module: str, name: str) -> Iterator[str]:
    """Yield the directive of a constant, an alias of a type or a new type, from its source."""
    source, annotation, value = assignment(module, name)
    analyzer = ModuleAnalyzer.for_module(source)
    analyzer.analyze()
    is_alias = annotation == "TypeAlias"
    yield f".. py:{'type' if is_alias else 'data'}:: {name}"
    if annotation and not is_alias:
        yield f"   :type: {annotation}"
    yield f"   :{'canonical' if is_alias else 'value'}: {value}"
    yield ""
    docstring = analyzer.attr_docs.get(("", name))
    if docstring is None:
        _log.warning("%s.%s has no docstring", source, name)
    yield from (f"   {line}" for line in docstring or ())


def assignment(module: str, name: str) -> tuple[str, str, str]:
    """Return where a name is assigned: the module, the annotation and the source of the value."""
    tree = ast.parse(inspect.getsource(importlib.import_module(module)))
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and name in {one.name for one in node.names}:
            return assignment(str(node.module), name)
        if isinstance(node, ast.AnnAssign) and ast.unparse(node.target) == name and node.value:
            return module, ast.unparse(node.annotation), ast.unparse(node.value)
        if isinstance(node, ast.Assign) and name in map(ast.unparse, node.targets):
            return module, "", ast.unparse(node.value)
    raise LookupError(f"{module} assigns no {name}")


def public_names(module: str) -> list[str]:
    """Return `__all__` of a module, or without it the public names that the module defines."""
    if module in _INCOMPLETE:
        return list(_INCOMPLETE[module])
    there = importlib.import_module(module)
    if hasattr(there, "__all__"):
        return list(there.__all__)
    tree = ast.parse(inspect.getsource(there))
    names = []
    for node in tree.body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            names.append(node.name)
        elif isinstance(node, ast.AnnAssign):
            names.append(ast.unparse(node.target))
        elif isinstance(node, ast.Assign):
            names += map(ast.unparse, node.targets)
    return [name for name in names if not name.startswith("_")]


@cache
def homes() -> dict[str, str]:
    """Return under which public module each public name is documented."""
    modules = ["angle_reco", *(f"angle_reco.{topic}" for topic in reversed(TOPICS))]
    return {name: module for module in modules for name in public_names(module)}


def link_public_name(app: Any, env: Any, node: Any, content: Any) -> Any:
    """Link a name that Sphinx does not find where it is used: `Settings`, or `Finding.what`."""
    if node.get("refdomain") != "py":
        return None
    *_, name = [part for part in node["reftarget"].split(".") if part[:1].isupper()] or [""]
    if name not in homes():
        return None
    _, _, member = node["reftarget"].partition(name)
    domain, page = env.domains["py"], node.get("refdoc", "")
    return domain.resolve_xref(
        env, page, app.builder, "obj", f"{homes()[name]}.{name}{member}", node, content
    )


def rewrite_docstring(
    _app: Any, _what: str, _name: str, _obj: object, _options: Any, lines: list[str]
) -> None:
    """Drop the docstring that attrs gives to a constructor; list errors as fields.

    The extension napoleon takes the colon in the first line of a property for the end of a type.
    """
    text = "\n".join(lines)
    if not _is_written(text):
        lines.clear()
    elif "Raises:" in lines:
        start = lines.index("Raises:")
        lines[start:] = [_RAISED.sub(r":raises \1: \2", line) for line in lines[start + 1 :]]


def rewrite_signature(
    _app: Any,
    what: str,
    _name: str,
    obj: Any,
    _options: Any,
    arguments: str | None,
    returned: str | None,
) -> tuple[str, str | None] | None:
    """Name aliases and defaults as the source does; leave out constructors that are not public."""
    if arguments is None:
        return None
    if what == "class" and _is_internal(obj):
        return "", returned
    if what == "class" and attrs.has(obj):
        arguments = constructor_of(obj)
    return _aliased(arguments), returned and _aliased(returned)


def constructor_of(one: type) -> str:
    """Return the signature of a constructor that attrs generates, which has no source to quote."""
    fields = {field.alias: field for field in attrs.fields(one)}
    signature = inspect.signature(one)
    shown = [_quoted(one, fields[name]) for name, one in signature.parameters.items()]
    return str(
        stringify_signature(
            signature.replace(parameters=shown),
            show_return_annotation=False,
            unqualified_typehints=True,
        )
    )


def _quoted(parameter: inspect.Parameter, field: "attrs.Attribute[Any]") -> inspect.Parameter:
    if get_origin(field.type) is np.ndarray:
        # The converter, which freezes arrays of any type, hides the type of this one.
        parameter = parameter.replace(annotation=field.type)
    if parameter.default is parameter.empty:
        return parameter
    return parameter.replace(default=_Shown(field.default))


@attrs.frozen(repr=False)
class _Shown:
    """A default value, which a reader of a signature sees as its representation."""

    value: object

    def __repr__(self) -> str:
        match self.value:
            case enum.Enum() as member:
                return f"{type(member).__name__}.{member.name}"
            case timedelta() as span:
                return repr(span).removeprefix("datetime.")
            case FunctionType() as function:
                return function.__name__
            case one if isinstance(one, type(attrs.Factory(list))):
                return "..."
        return repr(self.value)


def _is_internal(one: Any) -> bool:
    is_protocol = getattr(one, "_is_protocol", False)
    return one.__name__ in _INTERNAL or is_protocol or issubclass(one, enum.Enum)


def _aliased(signature: str) -> str:
    for text, alias in aliases().items():
        signature = signature.replace(text, f"~angle_reco.types.{alias}")
    return _ARRAY.sub(r"NDArray\1", signature)


@cache
def aliases() -> dict[str, str]:
    """Return the public aliases by the text of their types, the longest first."""
    there = importlib.import_module("angle_reco.types")
    values = {name: getattr(there, name) for name in there.__all__}
    texts = {
        stringify_annotation(value, "smart"): name
        for name, value in values.items()
        if not inspect.isclass(value)
    }
    return dict(sorted(texts.items(), key=lambda one: len(one[0]), reverse=True))


def write_index(app: Any, error: Exception | None) -> None:
    """Write the page that a web server shows first."""
    if error is None and app.builder.name == "html":
        page = f'<meta http-equiv="refresh" content="0; url={app.config.root_doc}.html">\n'
        (Path(app.outdir) / "index.html").write_text(page, "utf-8")


def _is_written(docstring: str | None) -> bool:
    return bool(docstring) and not str(docstring).startswith("Method generated by attrs")
