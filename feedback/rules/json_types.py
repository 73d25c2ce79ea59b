"""The type of a JSON object whose keys are free. One with known keys has a TypedDict or dataclass of its own."""

from typing import Any, TypeAlias

JsonObject: TypeAlias = dict[str, Any]
