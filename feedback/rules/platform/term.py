"""What an entry of the glossary consists of."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Term:
    """`short` is the tooltip, `detail` is in the glossary, `everyday` is an everyday comparison."""

    key: str
    name: str
    short: str
    detail: str
    everyday: str = ""
