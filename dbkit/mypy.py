"""A mypy plugin that does nothing, for programs that use pydantic's.

Pydantic's plugin makes every field of a model its value on the class too, so `User.email == "x"` would be a bool. mypy
takes the first plugin's answer: listed before pydantic's, this one keeps dbkit's classes as they are declared.

    [tool.mypy]
    plugins = ["dbkit.mypy", "pydantic.mypy"]
"""

from __future__ import annotations

from collections.abc import Callable

from mypy.nodes import TypeInfo
from mypy.plugin import ClassDefContext, Plugin

__all__ = ["plugin"]


class _KeepDescriptors(Plugin):
    def get_base_class_hook(self, fullname: str) -> Callable[[ClassDefContext], None] | None:
        found = self.lookup_fully_qualified(fullname)
        is_ours = found and isinstance(found.node, TypeInfo) and found.node.has_base("dbkit.entity.Model")
        return _nothing if is_ours else None


def _nothing(_context: ClassDefContext) -> None:
    pass


def plugin(version: str) -> type[Plugin]:
    """Return the plugin's class; mypy calls this with its own *version*."""
    del version
    return _KeepDescriptors
