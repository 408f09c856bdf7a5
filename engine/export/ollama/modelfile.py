"""An export for Ollama: a Modelfile whose template is checked, and what lies beside it.

Knows Modelfiles (Ollama's parser/parser.go) and what Ollama adds by itself: the begin token, its
own sampling, the system text. Does not run Ollama, and says so in what it writes.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from engine.data.rows import Row, Turn, parse_row
from engine.export import card
from engine.export.ollama import probing
from engine.export.ollama.gotemplate import GoFailed, GoTemplate, printable
from engine.export.plan import context_of
from engine.export.proof.samples import Sample
from engine.export.sampling import sampling_of
from engine.export.stages import Source, Stage
from engine.render.folder import read_tokenizer
from engine.render.renderer import Renderer
from store.errors import BadInput
from store.visible import visible

MODELFILE = "Modelfile"
MODEL = "model.gguf"
PLAIN = "{{ .Prompt }}"
"""What goes in is what comes out: for a model without a chat template."""
MOST_CONTEXT = 8192
"""Ollama keeps room for all of `num_ctx`; who needs more raises it."""

_BARE = re.compile(r"[\w./-]+")
_PARAMETERS = {"repetition_penalty": "repeat_penalty"}
_SHAPES = (("user",), ("system", "user"), ("user", "assistant", "user"))
_HOSTILE = (
    " \n\tspaces around\u00a0\u3000\r\n ",
    '"""quotes""" "and" \\backslashes\\ \\u0041',
    "{{ .Content }} {{ end }} {% raw %} {# #} }}{{",
    "<|im_end|></s><end_of_turn><|eot_id|>[/INST]",
    "e\u0301 👩‍👩‍👧‍👦 \u200b\u202e\ufeff 中文 \x00\x1b[2J",
    "line\n\nline\r\n  line\n",
)
_SHOWN = 100
_AROUND = 40
_BOOL = 7
_HEAD = 1 << 26
"""More than the keys of any vocabulary take."""


@dataclass(frozen=True, slots=True)
class Template:
    """A template for Ollama and what is known of it.

    Attributes:
        source: Go; None where nothing could be learned of the trained template.
        conversations, different: of the held-out ones, and those whose prompts come out
            differently.
        first: what is different in the first of them.
        cautions: what else a user must know, one sentence each.
    """

    source: str | None
    conversations: int
    different: int
    first: str
    cautions: tuple[str, ...]

    @property
    def verified(self) -> bool:
        """Whether every held-out conversation comes out as it was trained."""
        compared = self.conversations > 0 and not self.different
        return self.source == PLAIN or (self.source is not None and compared)

    def words(self) -> str:
        """What was found, as one line."""
        if self.source == PLAIN:
            return "the model has no chat template: text goes in as it is"
        if self.source is None:
            return "unverified: no template for Ollama could be made of the trained one"
        if not self.conversations:
            return "unverified: there was no conversation to compare"
        if self.different:
            return (
                f"unverified: {self.different} of {self.conversations} conversations differ; "
                f"first: {visible(self.first)}"
            )
        return f"verified: {self.conversations} conversations are rendered byte for byte"


def template_for(
    renderer: Renderer,
    samples: Sequence[Sample],
    chats: Path | None = None,
    file: Path | None = None,
) -> Template:
    """Learn a template for Ollama and compare it on conversations and on hostile texts.

    Args:
        samples: held-out conversations; chats: the rows that they are of.
        file: the GGUF that Ollama will run, as in `framing`.
    """
    if renderer.template_source is None:
        return Template(PLAIN, 0, 0, "", ())
    begins, ends = framing(renderer, file)
    bos = renderer.special_tokens.get("bos_token", "") if begins else ""
    learned = probing.learn(lambda messages: _trained(renderer, _turns(messages), bos))
    source = probing.written(learned) if learned else None
    held_out = [sample.turns for sample in samples if sample.turns]
    wrong, first = 0, ""
    for turns in held_out:
        found = _difference(renderer, source, turns, bos) if source is not None else ""
        wrong += found is not None
        first = first or found or ""
    cautions = [*_around(renderer, bos, ends=ends)]
    if source is None:
        cautions.append("Newer versions of Ollama take the trained one, older ones guess.")
    elif wrong:
        cautions.append("Without TEMPLATE newer versions of Ollama take the trained one.")
    if source is not None and (broken := _hostile(renderer, source, bos)):
        cautions.append(f"Some texts come out differently, such as {broken!r:.{_SHOWN}}.")
    if (system := system_of(chats)) and not _holds(system):
        cautions.append("A Modelfile cannot hold the system text of the training: send it along.")
    if any(row.tools for row in _rows(chats)):
        cautions.append("The training had tools: TEMPLATE does not offer any.")
    if "strftime_now" in (renderer.template_source or ""):
        cautions.append("The trained template writes today's date; here it is that of the export.")
    return Template(source, len(held_out), wrong, first, tuple(cautions))


def _turns(messages: Sequence[probing.Message]) -> list[Turn]:
    return [Turn(role, text) for role, text in messages]


def _trained(renderer: Renderer, turns: Sequence[Turn], bos: str) -> str | None:
    """The prompt of the trained template, without the begin token that Ollama puts there."""
    try:
        text = renderer.render(turns, generation_prompt=True, spans=False).text
    except BadInput:
        return None
    return text.removeprefix(bos)


def _difference(renderer: Renderer, source: str, turns: Sequence[Turn], bos: str) -> str | None:
    """What is different in the first prompt that is; None where none is."""
    template = GoTemplate(source)
    for end, turn in enumerate(turns, 1):
        if turn.role == "assistant" or (end < len(turns) and turns[end].role != "assistant"):
            continue
        asked = turns[:end]
        expected = _trained(renderer, asked, bos)
        try:
            found = template.render([(one.role, one.text) for one in asked])
        except GoFailed:
            if expected is not None:
                return "an error"
            continue
        if expected is None:
            return "a prompt where the trained template refuses"
        if found != expected:
            pairs = enumerate(zip(found, expected, strict=False))
            at = next((i for i, (a, b) in pairs if a != b), min(len(found), len(expected)))
            there, trained = found[at : at + _AROUND], expected[at : at + _AROUND]
            return f"{there!r} instead of {trained!r}"
    return None


def _hostile(renderer: Renderer, source: str, bos: str) -> str | None:
    """The first hostile text that comes out differently in a usual order of roles."""
    for text in _HOSTILE:
        for roles in _SHAPES:
            turns = _turns([(role, text) for role in roles])
            if _difference(renderer, source, turns, bos) is not None:
                return text
    return None


def framing(renderer: Renderer, file: Path | None) -> tuple[bool, bool]:
    """Whether Ollama puts a begin token before every prompt, and an end token after it.

    Args:
        file: the GGUF that says so; None or a missing one is taken to be one of ours.
    """
    if file is not None and file.is_file():
        said = [_flag(file, f"tokenizer.ggml.add_{name}_token") for name in ("bos", "eos")]
        if said[0] is not None:
            return said[0], bool(said[1])
    assert renderer.folder is not None
    ids = read_tokenizer(renderer.folder).encode("a", add_special_tokens=True).ids
    asked = _trained(renderer, [Turn("user", "a")], "") or ""
    bos = renderer.special_tokens.get("bos_token", "")
    return bool(bos) and ids[:1] == [renderer.bos_id] and asked.startswith(bos), False


def _flag(file: Path, key: str) -> bool | None:
    """A yes or no among the keys of a GGUF file; None where it is not there."""
    wanted = struct.pack("<Q", len(key)) + key.encode() + struct.pack("<I", _BOOL)
    with file.open("rb") as handle:
        head = handle.read(_HEAD)
    at = head.find(wanted)
    return head[at + len(wanted)] != 0 if 0 <= at < len(head) - len(wanted) else None


def _around(renderer: Renderer, bos: str, *, ends: bool) -> Iterator[str]:
    """Where Ollama frames a prompt with tokens that training did not have."""
    asked = _trained(renderer, [Turn("user", "a")], "")
    if bos and asked is not None and not asked.startswith(bos):
        yield f"Ollama puts {bos} before every prompt; the trained template does not."
    if ends:
        yield "Ollama puts an end token after every prompt; the trained template does not."


def system_of(chats: Path | None) -> str | None:
    """The system text that every conversation of the training began with; None without one."""
    found: set[str] = set()
    for row in _rows(chats):
        first = row.turns[0] if row.turns else None
        found.add(first.text if first and first.role == "system" else "")
        if len(found) > 1 or "" in found:
            return None
    return found.pop() if found else None


def _rows(chats: Path | None) -> Iterator[Row]:
    """The readable rows that were held out, then those that were trained on."""
    for path in [chats, chats.with_name("train.jsonl")] if chats else []:
        if path.is_file():
            with path.open("rb") as lines:
                for number, line in enumerate(lines, 1):
                    row = parse_row(number, line.rstrip(b"\r\n"))
                    if row.error is None:
                        yield row


def written(source: Source, renderer: Renderer, template: Template) -> str:
    """The text of a Modelfile that lies beside its `model.gguf`."""
    lines = [
        f"# {visible(title(source))}, exported by Workbench.",
        "# Prompts were compared with those of the trained chat template; Ollama was not run.",
        f"# {template.words()}",
        *(f"# {visible(caution)}" for caution in template.cautions),
        f"FROM ./{MODEL}",
    ]
    if template.source is not None:
        lines += ["", f'TEMPLATE """{template.source}"""']
    lines += ["", *_parameters(renderer, Path(source.base))]
    if system := system_of(_chats(source)):
        lines += ["", _line("SYSTEM", system)]
    return "\n".join([*lines, ""])


def _parameters(renderer: Renderer, base: Path) -> Iterator[str]:
    """Stops, context and sampling as in Workbench; Ollama would have its own."""
    stops = [renderer.decode([stop], special=True) for stop in renderer.stop_ids]
    for stop in dict.fromkeys(stops):
        yield _line("PARAMETER stop", stop)
    yield f"PARAMETER num_ctx {min(context_of(base) or MOST_CONTEXT, MOST_CONTEXT)}"
    for name, value in sampling_of(base).items():
        yield f"PARAMETER {_PARAMETERS.get(name, name)} {value:g}"


def _line(command: str, text: str) -> str:
    """A command with a text, or a comment where a Modelfile would change the text."""
    if _BARE.fullmatch(text):
        return f"{command} {text}"
    if not _holds(text):
        return f"# {command}: a Modelfile cannot hold this text as it is: {visible(text)}"
    return f'{command} """{text}"""'


def _holds(text: str) -> bool:
    """Whether a text comes out of three quotes in a Modelfile as it went in."""
    return '"""' not in text and all(c in "\n\t\r" or printable(c) for c in text)


def _chats(source: Source) -> Path | None:
    return Path(source.chats) if source.chats else None


def title(source: Source) -> str:
    """What the model is called."""
    return str(source.record.get("name") or card.public_name(source.base_ref))


def model_name(source: Source, type_name: str) -> str:
    """A name that `ollama create` takes, its type for a tag: `habit:q4_k_m`."""
    name = re.sub(r"[^a-z0-9]+", "-", title(source).lower()).strip("-")[:40].rstrip("-")
    return f"{name or 'model'}:{type_name}"


def write_ollama(
    folder: Path, source: Source, renderer: Renderer, samples: Sequence[Sample], type_name: str
) -> Stage:
    """Write Modelfile, chat_template.jinja and README.md beside `model.gguf`.

    Args:
        renderer: that of the trained model's folder.
        samples: held-out conversations. type_name: of the weights.
    Returns:
        The stage `modelfile`: `warn` where the template is unverified or something is to be known.
    """
    template = template_for(renderer, samples, _chats(source), folder / MODEL)
    text = written(source, renderer, template)
    _write(folder / MODELFILE, text)
    if renderer.template_source is not None:
        _write(folder / "chat_template.jinja", renderer.template_source)
    _write(folder / "README.md", _readme(source, template, type_name))
    sure = template.verified and not template.cautions
    words = ". ".join([template.words(), *(c.rstrip(".") for c in template.cautions)])
    numbers = {
        "conversations": float(template.conversations),
        "different": float(template.different),
    }
    return Stage("modelfile", "pass" if sure else "warn", words, numbers)


def _write(path: Path, text: str) -> None:
    path.write_bytes(text.encode())


def _readme(source: Source, template: Template, type_name: str) -> str:
    name = model_name(source, type_name)
    told = "\n".join(f"- {line}" for line in [template.words(), *template.cautions])
    return f"""# {visible(title(source))}

    ollama create {name} -f {MODELFILE}
    ollama run {name}

`{MODEL}` holds the chat template that the model was trained with, and so does
`chat_template.jinja`. `TEMPLATE` in the {MODELFILE} says the same in Ollama's language; newer
versions of Ollama may use the one in `{MODEL}` instead.

{told}

Ollama itself was not run: its template was evaluated and compared.
"""
