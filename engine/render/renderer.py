"""Turns to token ids and a loss mask: the only place where this is decided.

The data screen shows what comes out of here, the trainer trains on it, the chat prompts with it
and an exported file is checked against it. Does not know torch, rows on disk, or recipes.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer
from tokenizers.decoders import DecodeStream

from engine.data.rows import Row, Turn
from engine.render.template import ChatTemplate, TemplateRefused, TemplateText
from store.errors import BadInput, Unsupported


@dataclass(frozen=True, slots=True)
class Span:
    """The tokens of one turn: `ids[start:end]`."""

    role: str
    start: int
    end: int
    trained: bool


@dataclass(frozen=True, slots=True)
class Rendered:
    """What the model sees of one example.

    Attributes:
        ids: token ids, length n.
        mask: 1 where the loss counts, else 0; length n.
        tokens: the text of each token; length n. Bytes of one character share its text.
        spans: the turns in order, where the template lets them be told apart.
        text: the rendered text before tokenising.
        cut: how many ids `max_length` removed at the end.
        bos: how many ids are the begin-of-sequence token.
        turn_end_trained: every trained turn ends in a trained stop token.
        notes: what a reader should know, one sentence each.
    """

    ids: list[int]
    mask: list[int]
    tokens: list[str]
    spans: tuple[Span, ...]
    text: str
    cut: int
    bos: int
    turn_end_trained: bool
    notes: tuple[str, ...]

    @property
    def trained_tokens(self) -> int:
        """How many ids the loss counts."""
        return sum(self.mask)


class StreamDecoder:
    """Ids to text one by one; a character split over ids appears once it is whole."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._stream = DecodeStream(skip_special_tokens=True)

    def feed(self, token_id: int) -> str:
        """The text that `token_id` completes, or an empty string."""
        return self._stream.step(self._tokenizer, token_id) or ""


class Renderer:
    """The tokenizer and chat template of one model folder."""

    def __init__(
        self,
        tokenizer: Tokenizer,
        template: ChatTemplate | None,
        special_tokens: dict[str, str],
        stop_ids: Sequence[int],
    ) -> None:
        self._tokenizer = tokenizer
        self._template = template
        self.special_tokens = special_tokens
        self.bos_id = self._id_of("bos_token")
        self.eos_id = self._id_of("eos_token")
        pad = self._id_of("pad_token")
        self.pad_id = pad if pad is not None else self.eos_id
        known = [*stop_ids, *([self.eos_id] if self.eos_id is not None else [])]
        self.stop_ids: tuple[int, ...] = tuple(dict.fromkeys(known))

    @classmethod
    def load(cls, folder: Path) -> Renderer:
        """Read `tokenizer.json`, the template and the special tokens of a model folder.

        Raises:
            Unsupported: the folder has no fast tokenizer.
            BadInput: a file in it is not what it should be.
        """
        path = folder / "tokenizer.json"
        if not path.is_file():
            raise Unsupported(
                f"{folder}: no tokenizer.json (a fast tokenizer is needed)",
                "Save the tokenizer with a recent transformers, then point to that folder.",
            )
        try:
            tokenizer = Tokenizer.from_file(str(path))
        except Exception as error:
            raise BadInput(
                f"{path}: {error}", "Copy tokenizer.json from the model again."
            ) from error
        tokenizer.no_truncation()
        tokenizer.no_padding()
        config = _read_json(folder / "tokenizer_config.json")
        special = _special_tokens(config)
        source = _template_source(folder, config)
        template = ChatTemplate(source, special) if source is not None else None
        return cls(tokenizer, template, special, _stop_ids(folder))

    @property
    def template_sha256(self) -> str | None:
        """Hash of the chat template's text; None where the model has none."""
        return self._template.sha256 if self._template else None

    @property
    def template_source(self) -> str | None:
        """The chat template's text."""
        return self._template.source if self._template else None

    @property
    def vocabulary_size(self) -> int:
        """Ids the tokenizer can produce, added tokens included."""
        return int(self._tokenizer.get_vocab_size(with_added_tokens=True))

    def render(
        self,
        turns: Sequence[Turn],
        *,
        generation_prompt: bool = False,
        max_length: int | None = None,
        spans: bool = True,
    ) -> Rendered:
        """Render a conversation through the chat template.

        Args:
            generation_prompt: end with the opening of an assistant turn.
            max_length: keep at most this many ids, dropping the end.
            spans: also locate every turn; costs one render a turn.
        Raises:
            Unsupported: the model has no chat template.
            BadInput: the template refuses these turns, in its own words.
        """
        if self._template is None:
            raise Unsupported(
                "this model has no chat template",
                "Use an instruction-tuned model, or rows with plain text.",
            )
        whole = self._template_text(turns, generation_prompt)
        blocks, notes = self._blocks(turns, whole)
        encoding = self._tokenizer.encode(whole.text, add_special_tokens=False)
        rendered = self._build(whole.text, encoding, blocks, notes)
        if spans:
            found = self._spans(turns, whole.text, encoding.offsets, rendered.mask)
            rendered = replace(rendered, spans=found)
        return _cut(rendered, max_length)

    def render_text(self, text: str, *, max_length: int | None = None) -> Rendered:
        """Plain text for continued pre-training: every token is trained, EOS at the end."""
        encoding = self._tokenizer.encode(text, add_special_tokens=True)
        rendered = self._build(text, encoding, [(0, len(text), True)], [])
        if self.eos_id is not None and (not rendered.ids or rendered.ids[-1] != self.eos_id):
            end = self._tokenizer.id_to_token(self.eos_id) or ""
            rendered = replace(
                rendered,
                ids=[*rendered.ids, self.eos_id],
                mask=[*rendered.mask, 1],
                tokens=[*rendered.tokens, end],
                turn_end_trained=True,
            )
        return _cut(rendered, max_length)

    def render_row(
        self, row: Row, *, max_length: int | None = None, spans: bool = True
    ) -> Rendered:
        """Render one row of a dataset.

        Raises:
            BadInput: the row is broken, or the template refuses it; the line is named.
        """
        if row.error is not None:
            raise BadInput(row.error, "Repair or delete the row.")
        if row.shape == "text":
            return self.render_text(row.text, max_length=max_length)
        try:
            return self.render(row.turns, max_length=max_length, spans=spans)
        except BadInput as error:
            raise BadInput(f"line {row.number}: {error.message}", error.hint) from error

    def encode(self, text: str) -> list[int]:
        """Ids of raw text; special tokens written in it are recognised."""
        return list(self._tokenizer.encode(text, add_special_tokens=False).ids)

    def decode(self, ids: Sequence[int], *, special: bool = False) -> str:
        """Text of ids; special tokens are left out unless asked for."""
        return str(self._tokenizer.decode(list(ids), skip_special_tokens=not special))

    def stream_decoder(self) -> StreamDecoder:
        """A decoder for ids that arrive one at a time."""
        return StreamDecoder(self._tokenizer)

    def _id_of(self, name: str) -> int | None:
        text = self.special_tokens.get(name)
        return None if text is None else self._tokenizer.token_to_id(text)

    def _template_text(self, turns: Sequence[Turn], generation_prompt: bool) -> TemplateText:
        assert self._template is not None
        messages = [{"role": turn.role, "content": turn.text} for turn in turns]
        try:
            return self._template.render(messages, generation_prompt=generation_prompt)
        except TemplateRefused as error:
            roles = " ".join(turn.role for turn in turns) or "none"
            raise BadInput(
                f"the chat template refuses these turns ({roles}): {error}",
                "Change the order or the roles of the turns, or choose another model.",
            ) from error

    def _blocks(
        self, turns: Sequence[Turn], whole: TemplateText
    ) -> tuple[list[tuple[int, int, bool]], list[str]]:
        """Character ranges of assistant turns and whether each is trained."""
        wanted = [turn.train is not False for turn in turns if turn.role == "assistant"]
        if whole.blocks and len(whole.blocks) == len(wanted):
            return [(*b, w) for b, w in zip(whole.blocks, wanted, strict=True)], []
        if whole.blocks:
            return [], ["The template marks other turns as generated than the row has."]
        return self._blocks_by_difference(turns, whole.text)

    def _blocks_by_difference(
        self, turns: Sequence[Turn], text: str
    ) -> tuple[list[tuple[int, int, bool]], list[str]]:
        """Assistant ranges of a template without generation marks: exact prefixes or nothing."""
        blocks: list[tuple[int, int, bool]] = []
        for number, turn in enumerate(turns):
            if turn.role != "assistant":
                continue
            try:
                before = self._template_text(turns[:number], True).text
                after = self._template_text(turns[: number + 1], False).text
            except BadInput:
                return [], ["The template cannot render part of the row: no mask can be told."]
            if not (text.startswith(after) and after.startswith(before)):
                return [], ["The template rewrites earlier turns: no mask can be told exactly."]
            end = len(before) + len(after[len(before) :].rstrip())
            blocks.append((len(before), end, turn.train is not False))
        return blocks, []

    def _build(
        self, text: str, encoding: Any, blocks: list[tuple[int, int, bool]], notes: list[str]
    ) -> Rendered:
        ids: list[int] = list(encoding.ids)
        offsets: list[tuple[int, int]] = encoding.offsets
        mask = [0] * len(ids)
        ends_trained = bool(blocks)
        position = 0
        for start, end, trained in blocks:
            while position < len(ids) and offsets[position][0] < start:
                position += 1
            last = None
            while position < len(ids) and offsets[position][0] < end:
                if trained and offsets[position][1] > offsets[position][0]:
                    mask[position] = 1
                last = ids[position]
                position += 1
            if trained and last not in self.stop_ids:
                ends_trained = False
        return Rendered(
            ids=ids,
            mask=mask,
            tokens=[text[a:b] for a, b in offsets],
            spans=(),
            text=text,
            cut=0,
            bos=ids.count(self.bos_id) if self.bos_id is not None else 0,
            turn_end_trained=ends_trained and any(mask),
            notes=tuple(notes),
        )

    def _spans(
        self,
        turns: Sequence[Turn],
        text: str,
        offsets: list[tuple[int, int]],
        mask: list[int],
    ) -> tuple[Span, ...]:
        """Token ranges of the turns, by rendering ever longer prefixes."""
        spans: list[Span] = []
        start = 0
        for number, turn in enumerate(turns):
            end = len(offsets)
            if number + 1 < len(turns):
                try:
                    prefix = self._template_text(turns[: number + 1], False).text
                except BadInput:
                    continue
                if not text.startswith(prefix):
                    return ()
                end = next((i for i, o in enumerate(offsets) if o[0] >= len(prefix)), end)
            spans.append(Span(turn.role, start, end, any(mask[start:end])))
            start = end
        return tuple(spans)


def _cut(rendered: Rendered, max_length: int | None) -> Rendered:
    if max_length is None or len(rendered.ids) <= max_length:
        return rendered
    return replace(
        rendered,
        ids=rendered.ids[:max_length],
        mask=rendered.mask[:max_length],
        tokens=rendered.tokens[:max_length],
        cut=len(rendered.ids) - max_length,
        turn_end_trained=False,
    )


def _read_json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise BadInput(
            f"{path}: not JSON ({error})", "Copy the file from the model again."
        ) from error
    if not isinstance(value, dict):
        raise BadInput(f"{path}: expected a JSON object", "Copy the file from the model again.")
    return value


def _special_tokens(config: dict[str, Any]) -> dict[str, str]:
    found: dict[str, str] = {}
    for name in ("bos_token", "eos_token", "pad_token", "unk_token"):
        value = config.get(name)
        if isinstance(value, dict):
            value = value.get("content")
        if isinstance(value, str):
            found[name] = value
    return found


def _template_source(folder: Path, config: dict[str, Any]) -> str | None:
    path = folder / "chat_template.jinja"
    if path.is_file():
        try:
            return path.read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            raise BadInput(
                f"{path}: not UTF-8 text (byte {error.start})",
                "Copy the file from the model again.",
            ) from error
    value = config.get("chat_template")
    if isinstance(value, list):
        named = {item.get("name"): item.get("template") for item in value if isinstance(item, dict)}
        value = named.get("default")
    return value if isinstance(value, str) else None


def _stop_ids(folder: Path) -> list[int]:
    """End-of-generation ids of generation_config.json, else config.json; a list or one."""
    for name in ("generation_config.json", "config.json"):
        value = _read_json(folder / name).get("eos_token_id")
        if isinstance(value, int):
            return [value]
        if isinstance(value, list):
            return [item for item in value if isinstance(item, int)]
    return []
