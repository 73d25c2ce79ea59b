"""A process of its own that renders chat templates, so that one from elsewhere can be stopped and cannot fill memory.

Run as a script by `templates`; imports nothing of this package. Reads requests from standard input, one JSON object a
line: `{"template", "variables", "chats": [[message]], "add_generation_prompt"}`; answers each by one line: a list with
`{"text"}` or `{"refused": "the template's sentence"}` for each chat. Over its limits the kernel ends it.
"""

from __future__ import annotations

import json
import resource
import sys
from functools import lru_cache
from typing import TYPE_CHECKING

import jinja2
from jinja2.ext import Extension
from jinja2.sandbox import ImmutableSandboxedEnvironment

if TYPE_CHECKING:
    from jinja2 import nodes
    from jinja2.parser import Parser

    from trainer.modeling.chat_templates import RenderRequest

MEMORY = 1 << 30  # bytes of address space; a usual template needs some 60 MB, Python's own included
LONGEST_TEXT = 1 << 26  # characters of one rendered chat
# A template that writes the date would write another prompt each day, for the same seed. 26 July 2024 is what the
# templates of Llama 3 write where nobody tells them the date.
TODAY = {"%d %b %Y": "26 Jul 2024", "%Y-%m-%d": "2024-07-26", "%B %d, %Y": "July 26, 2024"}
FAULTS = (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)


class Generation(Extension):
    """`{% generation %}` marks what is learned; for rendering it is as if it was not there."""

    tags = {"generation"}

    def parse(self, parser: Parser) -> nodes.Node | list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


def raise_exception(message: str) -> None:
    raise jinja2.exceptions.TemplateError(message)


def strftime_now(pattern: str) -> str:
    """Today's date, which is always the same day."""
    import datetime

    return TODAY.get(pattern) or datetime.datetime(2024, 7, 26, 12).strftime(pattern)


def to_json(
    value: object,
    ensure_ascii: bool = False,
    indent: int | str | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


@lru_cache(maxsize=8)
def compiled(template: str) -> jinja2.Template:
    """As transformers compiles it, but for the clock."""
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, "jinja2.ext.loopcontrols"]
    )
    environment.filters["tojson"] = to_json
    environment.globals.update(raise_exception=raise_exception, strftime_now=strftime_now)
    return environment.from_string(template)


def render(request: RenderRequest) -> list[dict[str, str]]:
    """What the template makes of each chat, or the sentence with which it refuses."""
    outcomes: list[dict[str, str]] = []
    for chat in request["chats"]:
        try:
            text = compiled(request["template"]).render(
                messages=chat,
                tools=None,
                documents=None,
                add_generation_prompt=request["add_generation_prompt"],
                **request["variables"],
            )
        except jinja2.exceptions.TemplateError as error:
            outcomes.append({"refused": str(error.message or type(error).__name__)[:500]})
        except MemoryError:
            outcomes.append({"refused": "it needs more memory than a template may have"})
        except FAULTS as error:  # a template is a program of somebody else's: what it raises is its refusal
            outcomes.append({"refused": f"{type(error).__name__}: {error}"[:500]})
        else:
            long = len(text) > LONGEST_TEXT
            outcomes.append({"refused": "it writes far more than it is given"} if long else {"text": text})
    return outcomes


def limit_seconds(seconds: int) -> None:
    """Let the kernel end this process when it has computed for so long from now on."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    spent = int(used.ru_utime + used.ru_stime) + 1
    resource.setrlimit(resource.RLIMIT_CPU, (spent + seconds, resource.RLIM_INFINITY))


def main() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for line in sys.stdin:
        request = json.loads(line)
        limit_seconds(int(request["seconds"]))
        sys.stdout.write(json.dumps(render(request)) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
