"""A chat template in a sandbox, with the places it marks as generated.

Knows jinja2 as Hugging Face chat templates use it (`{% generation %}`, `raise_exception`,
`strftime_now`, `tojson`, tools). Does not know tokens. Several threads may render at once.
"""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import jinja2
from jinja2 import nodes
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

from store.errors import BadInput

MAX_TEMPLATE_CHARS = 256_000
"""Longest template that is rendered: real ones are under 20,000 characters."""

RENDER_SECONDS = 10.0
"""Longest that the loops of one rendering may take: a sandbox does not stop endless ones."""

Message = dict[str, Any]
# What the expressions of a template can raise by themselves.
_ITS_FAULT = (
    jinja2.TemplateError,
    ArithmeticError,
    AttributeError,
    LookupError,
    MemoryError,
    RecursionError,
    TypeError,
    ValueError,
)


@dataclass
class _Tracker:
    """Where generation blocks lie in the text rendered so far, in characters."""

    deadline: float = field(default_factory=lambda: time.monotonic() + RENDER_SECONDS)
    pieces: list[str] = field(default_factory=list)
    length: int = 0
    blocks: list[tuple[int, str]] = field(default_factory=list)

    def add(self, piece: str) -> None:
        self.pieces.append(piece)
        self.length += len(piece)


class _Rendering(threading.local):
    """The rendering that this thread is in the middle of."""

    tracker: _Tracker | None = None


_rendering = _Rendering()


class _GenerationTag(Extension):
    """`{% generation %}…{% endgeneration %}`: the text inside is the model's own."""

    tags = {"generation"}  # noqa: RUF012

    def parse(self, parser: Parser) -> nodes.Node:
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        call = self.call_method("_generated")
        return nodes.CallBlock(call, [], [], body).set_lineno(line)

    def _generated(self, caller: Callable[[], str]) -> str:
        text = caller()
        tracker = _rendering.tracker
        if tracker is not None:
            tracker.blocks.append((tracker.length, text))
        return text


class TemplateRefused(Exception):
    """These turns cannot be rendered.

    Attributes:
        on_purpose: the template says so itself (`raise_exception`), as for an order of roles it
            does not know; otherwise it broke.
    """

    def __init__(self, reason: str, *, on_purpose: bool = False) -> None:
        super().__init__(reason)
        self.on_purpose = on_purpose


class _Raised(jinja2.TemplateError):
    """What a template's `raise_exception` raises."""


@dataclass(frozen=True, slots=True)
class TemplateText:
    """Rendered text and its generation blocks as (start, end) in characters."""

    text: str
    blocks: tuple[tuple[int, int], ...]


class ChatTemplate:
    """One compiled chat template.

    Args:
        source: the Jinja text.
        special_tokens: names such as `bos_token` and their text, visible to the template.
    Raises:
        BadInput: the text is too long or is not a Jinja template.
    """

    def __init__(self, source: str, special_tokens: dict[str, str]) -> None:
        if len(source) > MAX_TEMPLATE_CHARS:
            raise BadInput(
                f"chat template has {len(source):,} characters; expected under "
                f"{MAX_TEMPLATE_CHARS:,}",
                "Use the template that came with the model.",
            )
        self.source = source
        self.sha256 = hashlib.sha256(source.encode()).hexdigest()
        self.marks_generation = "{%" in source and "endgeneration" in source
        self._special_tokens = special_tokens
        self._environment = _environment()
        try:
            self._template = _compiled(self._environment, source)
        except RecursionError as error:
            raise BadInput(
                "chat template: nested too deeply", "Use the template that came with the model."
            ) from error
        except jinja2.TemplateSyntaxError as error:
            raise BadInput(
                f"chat template, line {error.lineno}: {error.message}",
                "Repair chat_template.jinja in the model's folder.",
            ) from error

    def render(
        self,
        messages: Sequence[Message],
        *,
        generation_prompt: bool,
        tools: Sequence[Mapping[str, object]] = (),
    ) -> TemplateText:
        """Render messages as `{"role": …, "content": …}`.

        Raises:
            TemplateRefused: the template raised, in its own words.
        """
        tracker = _Tracker()
        _rendering.tracker = tracker
        try:
            names = {
                "messages": list(messages),
                "add_generation_prompt": generation_prompt,
                "tools": list(tools) or None,
                "documents": None,
                **self._special_tokens,
            }
            # As `Template.generate` does, but for its tracebacks, which cost a layer a piece.
            context = self._template.new_context(names)
            for piece in self._template.root_render_func(context):
                tracker.add(piece)
        except _Raised as error:
            raise TemplateRefused(str(error) or "no reason given", on_purpose=True) from error
        except _ITS_FAULT as error:
            raise TemplateRefused(str(error) or type(error).__name__) from error
        finally:
            _rendering.tracker = None
        text = "".join(tracker.pieces)
        return TemplateText(text, _found_in(text, tracker.blocks))


def _found_in(text: str, blocks: list[tuple[int, str]]) -> tuple[tuple[int, int], ...]:
    """The blocks as ranges, or none where one is not at its place.

    A template that marks text inside a macro or a captured block puts it somewhere else than where
    it was marked, or filters it afterwards.
    """
    if any(text[start : start + len(marked)] != marked for start, marked in blocks):
        return ()
    return tuple((start, start + len(marked)) for start, marked in blocks)


def _compiled(environment: ImmutableSandboxedEnvironment, source: str) -> jinja2.Template:
    """The template, with every loop looking at the clock."""
    tree = environment.parse(source)
    for loop in list(tree.find_all(nodes.For)):
        loop.iter = nodes.Filter(loop.iter, "_watched", [], [], None, None, lineno=loop.lineno)
    code = environment.compile(tree)
    # A plain dict: a chain of them is walked through at every rendering.
    return jinja2.Template.from_code(environment, code, dict(environment.globals))


def _watched(items: Iterable[object]) -> Iterator[object]:
    tracker = _rendering.tracker
    assert tracker is not None
    for item in items:
        if time.monotonic() > tracker.deadline:
            raise jinja2.TemplateError(f"it runs longer than {RENDER_SECONDS:.0f} s")
        yield item


def _environment() -> ImmutableSandboxedEnvironment:
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[_GenerationTag, loopcontrols]
    )
    environment.filters["tojson"] = _to_json
    environment.filters["_watched"] = _watched
    environment.globals["raise_exception"] = _refuse
    environment.globals["strftime_now"] = lambda form: datetime.now().strftime(form)
    return environment


def _to_json(
    value: object,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    return json.dumps(
        value,
        ensure_ascii=ensure_ascii,
        indent=indent,
        separators=separators,
        sort_keys=sort_keys,
    )


def _refuse(message: object) -> None:
    raise _Raised(str(message))
