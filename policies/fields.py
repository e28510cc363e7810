"""The fields of a config: the type, range, unit and meaning of every setting, by dotted name."""

import ast
import inspect
import io
import re
import tokenize
from dataclasses import dataclass, fields, is_dataclass
from functools import cache
from textwrap import dedent
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import msgspec

from policies.ranges import LARGEST
from robots.errors import BadArgumentError

OFF = (None, "none", "null")  # values that switch an optional setting off
TYPE_NAMES: dict[Any, str] = {
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    str: "a text",
    NoneType: "none",
}


@dataclass(frozen=True)
class Field:
    """The declaration of a setting in the source of its config."""

    annotation: Any  # its type, with the range that it allows
    unit: str  # "" where it has none
    meaning: str  # the comment on its line; where there is none, the comment above it


@cache
def declared_fields(kind: Any) -> dict[str, Field]:
    """Every setting of a config and of those within it, by dotted name."""
    hints = get_type_hints(kind, include_extras=True)
    comments = _comments(kind)
    declared = {}
    for field in fields(kind):
        annotation = hints[field.name]
        nested = config_in(annotation)
        if nested is not annotation:  # a single value, or a config that may be None
            comment = comments.get(field.name, "")
            unit, meaning = _split_unit(comment)
            declared[field.name] = Field(annotation, unit, meaning)
        if nested is not None:
            for name, child in declared_fields(nested).items():
                declared[f"{field.name}.{name}"] = child
    return declared


def config_in(annotation: Any) -> Any:
    """The config's class in ``Config`` or ``Config | None``; None in the type of a single value."""
    for candidate in (annotation, *get_args(annotation)):
        if isinstance(candidate, type) and is_dataclass(candidate):
            return candidate
    return None


def convert(
    name: str,
    value: Any,
    annotation: Any,
) -> Any:
    """A value converted to the type of a setting; BadArgumentError if it is not allowed."""
    if NoneType in get_args(annotation) and value in OFF:
        return None
    if config_in(annotation) is not None:
        raise BadArgumentError(f"{name}={value!r} is not allowed: give none, or set {name}.NAME")
    given = value
    if get_origin(annotation) is tuple:
        given = _as_list(value)
    try:
        return msgspec.convert(given, annotation, strict=False)
    except msgspec.ValidationError as error:
        allowed = describe_type(annotation)
        raise BadArgumentError(f"{name}={value!r} is not allowed: give {allowed}") from error


def _as_list(value: Any) -> Any:
    """``"64,64"`` and a single number as a list; anything else as it is."""
    if isinstance(value, str):
        return [part.strip() for part in value.split(",") if part.strip()]
    if isinstance(value, int | float):
        return [value]
    return value


def describe_type(annotation: Any) -> str:
    """The allowed values of a setting, in words."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        base, *metas = arguments
        return " ".join([describe_type(base), *map(_describe_range, metas)]).strip()
    if origin is tuple:
        return f"values like 64,64, each {describe_type(arguments[0])}"
    if origin in (Union, UnionType):
        return " or ".join(map(describe_type, arguments))
    if origin is Literal:
        return "one of " + ", ".join(map(str, arguments))
    return TYPE_NAMES.get(annotation, str(annotation))


def _describe_range(meta: Any) -> str:
    if not isinstance(meta, msgspec.Meta):
        return ""
    bounds = {"above": meta.gt, "of at least": meta.ge, "below": meta.lt, "of at most": meta.le}
    words = []
    for word, bound in bounds.items():
        if bound is not None and abs(bound) < LARGEST:
            words.append(f"{word} {bound:g}")
    return " and ".join(words)


def _split_unit(comment: str) -> tuple[str, str]:
    """``"[rad/s] largest speed"`` as unit and meaning."""
    match = re.fullmatch(r"\[([^\]]+)\]\s*(.*)", comment)
    if match is None:
        return "", comment
    return match[1], match[2]


def _comments(kind: type) -> dict[str, str]:
    """The comment of each field, of a class and of those it derives from."""
    comments: dict[str, str] = {}
    for base in reversed(kind.__mro__):
        if is_dataclass(base):
            comments |= _own_comments(base)
    return comments


def _own_comments(kind: type) -> dict[str, str]:
    """The comments of a class's own fields; none where its source is not available."""
    try:
        source = dedent(inspect.getsource(kind))
    except OSError:
        return {}
    trailing, standalone = _comments_by_line(source)
    comments = {}
    (definition,) = ast.parse(source).body
    assert isinstance(definition, ast.ClassDef)
    for node in definition.body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            first = node.lineno
            last = node.end_lineno or first
            parts = [trailing[n] for n in range(first, last + 1) if n in trailing]
            while not parts and first - 1 in standalone:
                first -= 1
            parts += [standalone[n] for n in range(first, node.lineno)]
            name = node.target.id
            comments[name] = " ".join(parts)
    return comments


def _comments_by_line(source: str) -> tuple[dict[int, str], dict[int, str]]:
    """Comments by line number: after code, and on lines of their own."""
    trailing: dict[int, str] = {}
    standalone: dict[int, str] = {}
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            line, column = token.start
            code = token.line[:column].strip()
            comments = trailing if code else standalone
            comments[line] = token.string.lstrip("# ")
    return trailing, standalone
