"""Read settings from the environment. An invalid value is refused with its name and the allowed values."""

import os
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured


def env_str(name: str, default: str) -> str:
    return os.environ.get(name, default)


def env_bool(name: str, default: bool) -> bool:
    raw = os.environ.get(name)
    if raw is None:
        return default
    if raw.lower() in ("1", "true", "yes", "on"):
        return True
    if raw.lower() in ("0", "false", "no", "off", ""):
        return False
    raise ImproperlyConfigured(f"{name} is {raw!r}; it must be one of 1, true, yes, on, 0, false, no, off.")


def env_int(name: str, default: int, *, low: int | None = None, high: int | None = None) -> int:
    raw = os.environ.get(name)
    if raw is None:
        return default
    try:
        number = int(raw)
    except ValueError:
        raise ImproperlyConfigured(f"{name} is {raw!r}; it must be a whole number.") from None
    if (low is not None and number < low) or (high is not None and number > high):
        raise ImproperlyConfigured(f"{name} is {number}; it must lie between {low} and {high}.")
    return number


def env_list(name: str, default: list[str]) -> list[str]:
    """Comma-separated values, without the blanks around them."""
    raw = os.environ.get(name)
    if raw is None:
        return default
    return list(filter(None, map(str.strip, raw.split(","))))


def env_secret(name: str, default: str) -> str:
    """A secret: the value of `NAME`, or the content of the file that `NAME_FILE` names, as for container secrets."""
    path = os.environ.get(f"{name}_FILE")
    if path:
        try:
            return Path(path).read_text().strip()
        except OSError as error:
            raise ImproperlyConfigured(f"{name}_FILE is {path!r}, which cannot be read: {error.strerror}.") from None
    return os.environ.get(name, default)
