"""An answer as a plain form brings it, for browsers without script."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Form:
    """The values of each field, in the order in which the form sent them."""

    values: Mapping[str, Sequence[str]]

    def get(self, name: str) -> str:
        """The last value of a field; an empty string where it was not sent."""
        sent = self.values.get(name)
        return sent[-1] if sent else ""

    def get_all(self, name: str) -> list[str]:
        return list(self.values.get(name, ()))

    def get_text(self, name: str) -> str:
        """The text of a field with \\n as its line end; browsers send \\r\\n."""
        return self.get(name).replace("\r\n", "\n")

    def with_prefix(self, prefix: str) -> dict[str, str]:
        """Fields whose name begins with `prefix`, by the rest of their name."""
        return {name.removeprefix(prefix): self.get(name) for name in self.values if name.startswith(prefix)}

    def numbers_with_prefix(self, prefix: str) -> dict[str, int]:
        """Those of `with_prefix` that are whole numbers of one or two digits. A number of thousands of digits would
        fail to convert."""
        numbers: dict[str, int] = {}
        for name, value in self.with_prefix(prefix).items():
            if value.isdecimal() and len(value) <= 2:
                numbers[name] = int(value)
        return numbers
