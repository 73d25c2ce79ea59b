"""What a chat completion may ask for, in OpenAI's words, and what of it is understood here.

Nothing is ignored silently: a parameter that has no meaning here is refused, unless its value asks for what happens
anyway (such as `"logprobs": false`).
"""

from dataclasses import dataclass, field

from feedback.rules.collection.message_content import ROLES, beside, text_of
from feedback.rules.collection.messages import last_turn_fault
from feedback.rules.json_types import JsonObject
from feedback.rules.platform.known_names import unknown_name

MOST_CHOICES = 8
MOST_TOKENS = 8192
MOST_STOPS = 4
LEAST_TOP_P = 0.001
MOST_CHARACTERS = 200_000
# Known to OpenAI and not done here; each with the values that ask for nothing more than what is done.
NEUTRAL: dict[str, tuple[object, ...]] = {
    "audio": (),
    "frequency_penalty": (0,),
    "function_call": ("none",),
    "functions": ([],),
    "logit_bias": ({},),
    "logprobs": (False,),
    "modalities": (["text"],),
    "moderation": (),
    "parallel_tool_calls": (True, False),
    "prediction": (),
    "presence_penalty": (0,),
    "prompt_cache_key": (),
    "reasoning_effort": ("none",),
    "response_format": ({"type": "text"},),
    "safety_identifier": (),
    "service_tier": ("auto", "default"),
    "store": (True,),  # everything is kept
    "tool_choice": ("none", "auto"),  # without tools there is nothing to choose
    "tools": ([],),
    "top_logprobs": (0,),
    "verbosity": (),
    "web_search_options": (),
}


class InvalidRequest(ValueError):
    """Which parameter is wrong, and why; `code` as OpenAI's."""

    def __init__(self, param: str | None, sentence: str, code: str = "invalid_value") -> None:
        self.param, self.sentence, self.code = param, sentence, code
        super().__init__(sentence)


@dataclass(frozen=True)
class ChatRequest:
    """A request that can be answered. What it leaves open (None) is the project's own setting."""

    model: str
    messages: list[dict[str, str]]
    n: int = 1
    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    stop: list[str] = field(default_factory=list)
    seed: int | None = None
    stream: bool = False
    include_usage: bool = False
    user: str = ""
    metadata: dict[str, str] = field(default_factory=dict)

    @property
    def sampling(self) -> JsonObject:
        """Over the project's own settings."""
        given = {
            "temperature": self.temperature,
            "top_p": self.top_p,
            "max_new_tokens": self.max_tokens,
            "stop": self.stop or None,
        }
        return {name: value for name, value in given.items() if value is not None}


def parse(body: object) -> ChatRequest:
    """
    Raises:
        InvalidRequest: the first thing that is wrong.
    """
    if not isinstance(body, dict):
        raise InvalidRequest(None, "The body must be a JSON object.")
    given = {name: value for name, value in body.items() if value is not None}
    for name in ("model", "messages"):
        if name not in given:
            raise InvalidRequest(name, f"You must provide {name}.", "missing_required_parameter")
    for name, value in given.items():
        if name in NEUTRAL:
            if not _asks_for_nothing(name, value):
                raise InvalidRequest(name, f"{name} is not supported here. Leave it out.", "unsupported_parameter")
        elif name not in _READ:
            raise InvalidRequest(name, unknown_name(name, _READ, "parameter"), "unknown_parameter")
    longest = given.get("max_completion_tokens", given.get("max_tokens"))
    options = given.get("stream_options", {})
    if options and not given.get("stream"):
        raise InvalidRequest("stream_options", "stream_options requires stream: true.")
    if not isinstance(options, dict) or set(options) - {"include_usage", "include_obfuscation"}:
        raise InvalidRequest("stream_options", "stream_options may say include_usage.", "unsupported_parameter")
    return ChatRequest(
        model=_text(given["model"], "model", 200),
        messages=_messages(given["messages"]),
        n=_whole(given.get("n", 1), "n", 1, MOST_CHOICES),
        temperature=_number(given.get("temperature"), "temperature", 0, 2),
        top_p=_top_p(given.get("top_p")),
        max_tokens=None if longest is None else _whole(longest, "max_completion_tokens", 1, MOST_TOKENS),
        stop=_stops(given.get("stop", [])),
        seed=_seed(given.get("seed")),
        stream=_yes(given.get("stream", False), "stream"),
        include_usage=_yes(options.get("include_usage", False), "stream_options.include_usage"),
        user=_text(given.get("user", ""), "user", 200),
        metadata=_metadata(given.get("metadata", {})),
    )


_READ = {
    "model", "messages", "n", "temperature", "top_p", "max_tokens", "max_completion_tokens", "stop", "seed", "stream",
    "stream_options", "user", "metadata",
}  # fmt: skip


def _asks_for_nothing(name: str, value: object) -> bool:
    """Whether the value of a parameter that is not done here asks for what happens anyway. 0 is not false."""
    return any((value == neutral and type(value) is not bool) or value is neutral for neutral in NEUTRAL[name])


def _messages(given: object) -> list[dict[str, str]]:
    if not isinstance(given, list) or not given:
        raise InvalidRequest("messages", "messages must be a list with at least one message.")
    messages = []
    characters = 0
    for place, message in enumerate(given):
        where = f"messages[{place}]"
        if not isinstance(message, dict) or message.get("role") not in tuple(ROLES):  # which takes what has no hash
            known = ", ".join(ROLES)
            raise InvalidRequest(f"{where}.role", f"The role must be one of {known}; tools are not supported here.")
        if extra := sorted(beside(message)):
            raise InvalidRequest(f"{where}.{extra[0]}", f"{extra[0]} is not supported here.", "unsupported_parameter")
        content = message.get("content")
        if content is None and message["role"] == "assistant":  # as OpenAI writes a turn that stated nothing
            content = ""
        text = _content(content, where)
        characters += len(text)
        messages.append({"role": ROLES[message["role"]], "content": text})
    if wrong := last_turn_fault(messages):
        raise InvalidRequest(f"messages[{len(messages) - 1}]", wrong)
    if characters > MOST_CHARACTERS:
        raise InvalidRequest("messages", f"The limit is {MOST_CHARACTERS} characters.", "string_above_max_length")
    return messages


def _content(given: object, where: str) -> str:
    """Text, or parts that are all text."""
    text = text_of(given)
    if text is None:
        raise InvalidRequest(f"{where}.content", "Only text is understood here.", "unsupported_value")
    if "\x00" in text:
        raise InvalidRequest(f"{where}.content", "It contains a NUL character, which cannot be stored.")
    return text


def _stops(given: object) -> list[str]:
    stops = given
    if isinstance(given, str):
        stops = [given]
    if not isinstance(stops, list) or len(stops) > MOST_STOPS:
        raise InvalidRequest("stop", f"stop is a text or a list of at most {MOST_STOPS}.")
    return [_text(stop, "stop", 200) for stop in stops if stop != ""]


def _metadata(given: object) -> dict[str, str]:
    if not isinstance(given, dict) or len(given) > 16:
        raise InvalidRequest("metadata", "metadata is an object of at most 16 texts.")
    metadata: dict[str, str] = {}
    for name, value in given.items():
        metadata[_text(name, "metadata", 64)] = _text(value, f"metadata.{name}", 512)
    return metadata


def _seed(given: object) -> int | None:
    """From 0 on, as the sampler takes it."""
    if given is None:
        return None
    return _whole(given, "seed", -(2**63), 2**63 - 1) % 2**63


def _text(given: object, name: str, longest: int) -> str:
    if not isinstance(given, str) or len(given) > longest or "\x00" in given:
        raise InvalidRequest(name, f"{name} must be text of at most {longest} characters.", "invalid_type")
    return given


def _whole(given: object, name: str, low: int, high: int) -> int:
    if isinstance(given, bool) or not isinstance(given, int) or not low <= given <= high:
        raise InvalidRequest(name, f"{name} must be a whole number from {low} to {high}.")
    return given


def _number(given: object, name: str, low: float, high: float) -> float | None:
    if given is None:
        return None
    if isinstance(given, bool) or not isinstance(given, int | float) or not low <= given <= high:
        raise InvalidRequest(name, f"{name} must be a number from {low} to {high}.")
    return float(given)


def _top_p(given: object) -> float | None:
    """0 means the likeliest token alone, which the least share means too."""
    share = _number(given, "top_p", 0, 1)
    if share is None:
        return None
    return max(share, LEAST_TOP_P)


def _yes(given: object, name: str) -> bool:
    if not isinstance(given, bool):
        raise InvalidRequest(name, f"{name} must be true or false.", "invalid_type")
    return given
