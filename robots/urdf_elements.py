"""The elements of a URDF: its tags, attributes and numbers, with errors that name them."""

import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from xml.etree.ElementTree import Element

import numpy as np

from robots.errors import BadArgumentError
from robots.rotations import rotation_about, transform
from robots.signals import Array

ROOT_TAG = "robot"
XACRO = "xacro}"  # part of the tag of every element that xacro would expand


def parse_urdf(path: Path) -> Element:
    """The <robot> of a URDF.

    Raises:
        BadArgumentError: there is no such file, or it is not a URDF.
    """
    try:
        root = ElementTree.parse(path).getroot()
    except OSError as error:
        raise BadArgumentError(f"{path} cannot be read: {error.strerror}") from error
    except (ElementTree.ParseError, ValueError) as error:  # ValueError: an unknown encoding
        raise BadArgumentError(f"{path} is no XML: {error}") from error
    if root.tag != ROOT_TAG:
        raise BadArgumentError(f"{path} is no URDF: it begins with <{root.tag}>, not <{ROOT_TAG}>")
    if any(XACRO in element.tag for element in root.iter()):
        raise BadArgumentError(f"{path} is a xacro file; make a URDF of it with ROS's `xacro`")
    return root


@contextmanager
def errors_about(subject: str) -> Iterator[None]:
    """Prefix an error's message with its subject, such as a file or a joint."""
    try:
        yield
    except BadArgumentError as error:
        raise BadArgumentError(f"{subject}: {error}") from error


def describe(element: Element) -> str:
    """The name of a <link> or <joint> in messages: ``joint 'elbow'``."""
    name = element.attrib.get("name", "")
    return f"{element.tag} {name!r}"


def named_elements(root: Element, tag: str) -> dict[str, Element]:
    """The <link> or <joint> definitions of a URDF by their name.

    Raises:
        BadArgumentError: one has no name, or the name of another one.
    """
    elements: dict[str, Element] = {}
    for element in root.findall(tag):
        name = required_attribute(element, "name")
        if name in elements:
            raise BadArgumentError(f"there are two {tag}s {name!r}")
        elements[name] = element
    return elements


def required_child(element: Element, tag: str) -> Element:
    """The first child with this tag; BadArgumentError where there is none."""
    first = element.find(tag)
    if first is None:
        raise BadArgumentError(f"<{element.tag}> has no <{tag}>")
    return first


def required_attribute(element: Element, name: str) -> str:
    """The text of an attribute; BadArgumentError where there is none."""
    text = element.attrib.get(name)
    if text is None:
        raise BadArgumentError(f"<{element.tag}> has no attribute {name!r}")
    return text


def required_number(element: Element, name: str) -> float:
    """The number of an attribute; BadArgumentError where there is none."""
    (number,) = parse_numbers(required_attribute(element, name), 1)
    return float(number)


def optional_number(element: Element, name: str, default: float) -> float:
    """The number of an attribute, or the default of the URDF standard."""
    if name not in element.attrib:
        return default
    return required_number(element, name)


def parse_numbers(text: str, count: int) -> Array:
    """The numbers (count,) of a space-separated attribute.

    Raises:
        BadArgumentError: there are more or fewer, or one is not finite.
    """
    try:
        numbers = np.array([float(word) for word in text.split()])
    except ValueError as error:
        raise BadArgumentError(f"{text!r} should be numbers") from error
    if len(numbers) != count or not np.isfinite(numbers).all():
        expected = "a finite number" if count == 1 else f"{count} finite numbers"
        raise BadArgumentError(f"{text!r} should be {expected}")
    return numbers


def format_numbers(numbers: Array) -> str:
    """Numbers (k,) as a space-separated attribute, exactly."""
    return " ".join(repr(number) for number in numbers.tolist())


def origin_transform(element: Element) -> Array:
    """The transform (4, 4) of an element's <origin>; identity where it has none.

    ``rpy`` are rotations about the fixed axes x, y and z, in this order.
    """
    origin = element.find("origin")
    if origin is None:
        return np.eye(4)
    xyz = origin.attrib.get("xyz", "0 0 0")
    rpy = origin.attrib.get("rpy", "0 0 0")
    return _transform(xyz, rpy).copy()


@cache  # an arm is read for every model of it, several times for each
def _transform(xyz: str, rpy: str) -> Array:
    rotation = np.eye(3)
    for axis, angle in zip(np.eye(3), parse_numbers(rpy, 3), strict=True):
        rotation = rotation_about(axis, angle) @ rotation
    return transform(rotation, parse_numbers(xyz, 3))
