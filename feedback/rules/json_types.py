"""Types of JSON whose shape is not known. An object with known keys has a TypedDict or dataclass of its own."""

from typing import Any, TypeAlias, TypeGuard, TypeVar

JsonObject: TypeAlias = dict[str, Any]
T = TypeVar("T")


def is_list_of(value: object, kind: type[T]) -> TypeGuard[list[T]]:
    """Whether `value` is a list that holds nothing but values of this type; an empty list is one of every type."""
    return isinstance(value, list) and all(isinstance(one, kind) for one in value)
