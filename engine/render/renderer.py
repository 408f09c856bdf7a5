"""Turns to token ids and a loss mask: the only place where this is decided.

The data screen shows what comes out of here, the trainer trains on it, the chat prompts with it
and an exported file is checked against it. One row and many rows go the same way. Does not know
torch, rows on disk, or recipes.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tokenizers import Encoding, Tokenizer
from tokenizers.decoders import DecodeStream

from engine.data.rows import Row, Turn
from engine.render import folder as files
from engine.render import losses, spans
from engine.render.blocks import Conversation, Trained
from engine.render.messages import (
    Refused,
    as_messages,
    at_line,
    in_parts,
    refuse_purpose,
    with_text_arguments,
)
from engine.render.rendered import Compact, Rendered, Span
from engine.render.straight import from_ids, from_segments
from engine.render.template import ChatTemplate, Message, TemplateRefused, TemplateText
from engine.render.tokenrange import Places
from store.errors import BadInput, Unsupported

__all__ = ["Compact", "Refused", "Rendered", "Renderer", "Span", "StreamDecoder"]

Tools = Sequence[Mapping[str, object]]


class StreamDecoder:
    """Ids to text one by one; a character split over ids appears once it is whole."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._stream = DecodeStream(skip_special_tokens=True)

    def feed(self, token_id: int) -> str:
        """The text that `token_id` completes, or an empty string."""
        return self._stream.step(self._tokenizer, token_id) or ""


@dataclass(frozen=True, slots=True)
class _Draft:
    """A text ready to be tokenised, and what is trained of it.

    `conversation` is None for plain text, to which the tokenizer adds its own special tokens.
    """

    text: str
    trained: Trained
    turns: Sequence[Turn] = ()
    tools: Tools = ()
    messages: Sequence[Message] = ()
    conversation: Conversation | None = None


class Renderer:
    """The tokenizer and chat template of one model folder. Several threads may use it."""

    def __init__(
        self,
        tokenizer: Tokenizer,
        template: ChatTemplate | None,
        special_tokens: dict[str, str],
        stop_ids: Sequence[int],
    ) -> None:
        self.folder: Path | None = None
        self._tokenizer = tokenizer
        self._template = template
        self.special_tokens = special_tokens
        self.bos_id = self._id_of("bos_token")
        self.eos_id = self._id_of("eos_token")
        pad = self._id_of("pad_token")
        self.pad_id = pad if pad is not None else self.eos_id
        known = [*stop_ids, *([self.eos_id] if self.eos_id is not None else [])]
        self.stop_ids: tuple[int, ...] = tuple(dict.fromkeys(known))
        stops = (tokenizer.id_to_token(stop) for stop in self.stop_ids)
        self._stops = tuple(stop for stop in stops if stop)

    @classmethod
    def load(cls, folder: Path) -> Renderer:
        """Read `tokenizer.json`, the template and the special tokens of a model folder.

        Raises:
            Unsupported: the folder has no fast tokenizer.
            BadInput: a file in it is not what it should be.
        """
        tokenizer = files.read_tokenizer(folder)
        config = files.read_json(folder / "tokenizer_config.json")
        special = files.special_tokens(config)
        source = files.template_source(folder, config)
        template = ChatTemplate(source, special) if source is not None else None
        loaded = cls(tokenizer, template, special, files.stop_ids(folder))
        loaded.folder = folder
        return loaded

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

    # Rendering

    def render(
        self,
        turns: Sequence[Turn],
        *,
        generation_prompt: bool = False,
        max_length: int | None = None,
        spans: bool = True,
        tools: Tools = (),
    ) -> Rendered:
        """Render a conversation through the chat template.

        Args:
            generation_prompt: end with the opening of an assistant turn.
            max_length: keep at most this many ids, dropping the end.
            spans: also locate every turn and note what the template loses; a render a turn.
            tools: what the assistant may call.
        Raises:
            Unsupported: the model has no chat template.
            BadInput: the template refuses these turns, in its own words.
        """
        draft = self._draft(turns, tools, generation_prompt)
        # A batch of one: unlike `encode` it lets other threads run, and keys are never blocked.
        [encoding] = self._tokenizer.encode_batch([draft.text], add_special_tokens=False)
        return self._whole(draft, encoding, detailed=spans).cut_to(max_length)

    def render_text(self, text: str, *, max_length: int | None = None) -> Rendered:
        """Plain text for continued pre-training: every token is trained, EOS at the end."""
        draft = _plain(text)
        [encoding] = self._tokenizer.encode_batch([text], add_special_tokens=True)
        return self._whole(draft, encoding, detailed=False).cut_to(max_length)

    def render_row(
        self, row: Row, *, max_length: int | None = None, spans: bool = True
    ) -> Rendered:
        """Render one row of a dataset.

        Raises:
            BadInput: the row is broken, is not for fine-tuning on answers, or the template
                refuses it; the line is named.
        """
        straight = self._straight(row)
        if straight is not None:
            return straight.cut_to(max_length)
        if row.purpose == "text":
            return self.render_text(row.text, max_length=max_length)
        try:
            return self.render(row.turns, max_length=max_length, spans=spans, tools=row.tools)
        except BadInput as error:
            raise at_line(row, error) from error

    def render_rows(
        self, rows: Sequence[Row], *, details: bool = False
    ) -> list[Compact | BadInput]:
        """Many rows at once: the same ids and mask as `render_row`, without `max_length`.

        Args:
            details: also count the tokens of each turn and list what the template loses.
        Returns:
            One entry a row; an error that `render_row` would raise stands in its place.
        Raises:
            Unsupported: a row needs a chat template and the model has none.
        """
        found: list[Compact | BadInput | None] = [None] * len(rows)
        drafts: list[tuple[int, _Draft]] = []
        for place, row in enumerate(rows):
            try:
                straight = self._straight(row)
                if straight is not None:
                    found[place] = straight.compact()
                elif row.purpose == "text":
                    drafts.append((place, _plain(row.text)))
                else:
                    drafts.append((place, self._draft(row.turns, row.tools, False)))
            except BadInput as error:
                found[place] = at_line(row, error)
        for plain in (False, True):
            group = [item for item in drafts if (item[1].conversation is None) is plain]
            texts = [draft.text for _, draft in group]
            encodings = self._tokenizer.encode_batch(texts, add_special_tokens=plain)
            for (place, draft), encoding in zip(group, encodings, strict=True):
                found[place] = self._compact(
                    draft, encoding, Places(encoding, len(draft.text)), details=details
                )
        return [item for item in found if item is not None]

    def encode(self, text: str) -> list[int]:
        """Ids of raw text; special tokens written in it are recognised."""
        return list(self._tokenizer.encode(text, add_special_tokens=False).ids)

    def decode(self, ids: Sequence[int], *, special: bool = False) -> str:
        """Text of ids; special tokens are left out unless asked for."""
        return str(self._tokenizer.decode(list(ids), skip_special_tokens=not special))

    def stream_decoder(self) -> StreamDecoder:
        """A decoder for ids that arrive one at a time."""
        return StreamDecoder(self._tokenizer)

    # The way of every row

    def _straight(self, row: Row) -> Rendered | None:
        """Rows that need no template; None for those that do.

        Raises:
            BadInput: the row is broken, or is not for fine-tuning on answers.
        """
        if row.error is not None:
            raise BadInput(row.error, "Repair or delete the row.")
        refuse_purpose(row)
        if row.purpose == "tokens":
            return from_ids(row, self._tokenizer, self.bos_id, self.stop_ids)
        if row.purpose == "segments":
            return from_segments(row, self._tokenizer, self.bos_id, self.stop_ids)
        return None

    def _draft(self, turns: Sequence[Turn], tools: Tools, generation_prompt: bool) -> _Draft:
        if self._template is None:
            raise Unsupported(
                "this model has no chat template",
                "Use an instruction-tuned model, or rows with plain text.",
            )
        messages = as_messages(turns)
        render = functools.partial(self._render, tools)
        try:
            whole = render(messages, generation_prompt)
        except TemplateRefused as error:
            roles = " ".join(turn.role for turn in turns) or "none"
            raise Refused(
                f"the chat template refuses these turns ({roles}): {error}",
                "Change the order or the roles of the turns, or choose another model.",
                on_purpose=error.on_purpose,
            ) from error
        conversation = Conversation(
            render, messages, turns, whole, open_end=generation_prompt, stops=self._stops
        )
        return _Draft(whole.text, conversation.trained(), turns, tools, messages, conversation)

    def _render(
        self, tools: Tools, messages: Sequence[Message], generation_prompt: bool
    ) -> TemplateText:
        """Messages through the template, in the form that it takes."""
        assert self._template is not None
        render = functools.partial(
            self._template.render, generation_prompt=generation_prompt, tools=tools
        )
        form = in_parts(messages) if self._wants_parts else messages
        try:
            return render(form)
        except TemplateRefused as error:
            # Some templates join the arguments of a call as text and break on an object.
            as_text = None if error.on_purpose else with_text_arguments(form)
            if as_text is None:
                raise
            return render(as_text)

    @functools.cached_property
    def _wants_parts(self) -> bool:
        """Does the template read content only as a list of parts?"""
        assert self._template is not None
        message: list[Message] = [{"role": "user", "content": "qz000000jx"}]
        for form, wanted in ((message, False), (in_parts(message), True)):
            try:
                text = self._template.render(form, generation_prompt=False).text
            except TemplateRefused as error:
                if error.on_purpose:
                    return False
                continue
            if "qz000000jx" in text:
                return wanted
        return False

    def _compact(
        self, draft: _Draft, encoding: Encoding, places: Places, *, details: bool
    ) -> Compact:
        ids: list[int] = encoding.ids
        bos = self._leading_bos(ids)
        if draft.conversation is None:
            if self.eos_id is not None and ids[-1:] != [self.eos_id]:
                ids = [*ids, self.eos_id]
            runs: tuple[tuple[int, int], ...] = ((bos, len(ids)),) if len(ids) > bos else ()
            return Compact(
                ids, runs, (("text", len(ids)),), draft.text, bos, ids[-1:] == [self.eos_id]
            )
        trained = draft.trained
        runs = places.runs(trained.ranges)
        last = (places.first_from(end) - 1 for end in trained.ends)
        ends = bool(runs) and all(at >= 0 and ids[at] in self.stop_ids for at in last)
        return Compact(
            ids=ids,
            runs=runs,
            parts=spans.parts(draft.turns, draft.text, places) if details else (),
            text=draft.text,
            bos=bos,
            turn_end_trained=ends,
            notes=trained.notes + _straddled(trained.starts, places),
            lost=self._lost(draft) if details else (),
        )

    def _whole(self, draft: _Draft, encoding: Encoding, *, detailed: bool) -> Rendered:
        places = Places(encoding, len(draft.text))
        compact = self._compact(draft, encoding, places, details=False)
        tokens = [draft.text[a:b] for a, b in encoding.offsets]
        if len(tokens) < len(compact.ids):
            tokens.append(self._tokenizer.id_to_token(compact.ids[-1]) or "")
        found: tuple[Span, ...] = ()
        notes = compact.notes
        if detailed and draft.conversation is not None:
            found = spans.spans(
                functools.partial(self._render, draft.tools),
                draft.messages,
                draft.turns,
                draft.conversation,
                draft.text,
                places,
                compact.runs,
                len(compact.ids),
            )
            lost = tuple(f"{words[:1].upper()}{words[1:]}." for _, words in self._lost(draft))
            notes = (*notes, *lost, *self._dated())
        return Rendered(
            ids=compact.ids,
            mask=compact.mask(),
            tokens=tokens,
            spans=found,
            text=compact.text,
            cut=0,
            bos=compact.bos,
            turn_end_trained=compact.turn_end_trained,
            notes=notes,
        )

    def _lost(self, draft: _Draft) -> tuple[tuple[str, str], ...]:
        def without(turns: Sequence[Turn], tools: Tools) -> str | None:
            try:
                return self._render(tools, as_messages(turns), False).text
            except TemplateRefused:
                return None

        return losses.find(draft.turns, draft.tools, draft.text, without, self.specials)

    def _dated(self) -> tuple[str, ...]:
        source = self._template.source if self._template else ""
        if "strftime_now" in source:
            return ("The template writes today's date: other days give other tokens.",)
        return ()

    def _leading_bos(self, ids: Sequence[int]) -> int:
        count = 0
        while count < len(ids) and ids[count] == self.bos_id:
            count += 1
        return count

    def _id_of(self, name: str) -> int | None:
        text = self.special_tokens.get(name)
        return None if text is None else self._tokenizer.token_to_id(text)

    @functools.cached_property
    def specials(self) -> re.Pattern[str] | None:
        """Texts that become special tokens wherever they are written."""
        added = self._tokenizer.get_added_tokens_decoder().values()
        texts = sorted({token.content for token in added if token.special and token.content})
        return re.compile("|".join(map(re.escape, reversed(texts)))) if texts else None


def _plain(text: str) -> _Draft:
    return _Draft(text, Trained(((0, len(text)),), (), (), ()))


def _straddled(starts: Sequence[int], places: Places) -> tuple[str, ...]:
    if any(places.straddles(start) for start in starts):
        return (
            "A token lies across the start of a trained turn: it holds text of the prompt too "
            "and is not trained.",
        )
    return ()
