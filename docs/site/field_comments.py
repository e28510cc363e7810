"""Makes the comments on the fields of a class a list of its attributes in the API reference.

In the source a field is described by the comment on its line: its unit, its shape, its meaning.
"""

import ast
from typing import Any

from griffe import Class, Extension, Inspector, Visitor

MARK = "  # "  # between a field and its comment


class FieldComments(Extension):
    """Appends an ``Attributes:`` section to the docstring of a class whose fields have comments."""

    def on_class_members(
        self,
        *,
        node: ast.AST | object,
        cls: Class,
        agent: Visitor | Inspector,
        **kwargs: Any,  # what later versions of griffe pass
    ) -> None:
        """Called by griffe when it has read a class."""
        if cls.docstring is None or "Attributes:\n" in cls.docstring.value:
            return
        lines = []
        for name, member in cls.attributes.items():
            _, _, comment = member.source.partition(MARK)
            if comment and "\n" not in comment and not name.startswith("_"):
                lines.append(f"    {name}: {comment}")
        if lines:
            section = "\n".join(["Attributes:", *lines])
            cls.docstring.value = f"{cls.docstring.value}\n\n{section}"
