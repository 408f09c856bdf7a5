"""A Hugging Face tokenizer as llama.cpp wants it: tokens, types, merges or scores, special ids.

Knows tokenizer.json and the files beside it. Does not know tensors. What it writes is proved
afterwards by tokenising the same texts on both sides (see `proof`).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gguf
from tokenizers import Tokenizer

from engine.export.gguf import pretokenizers, scores
from engine.export.gguf.given import Given, given_of
from engine.export.gguf.pretokenizers import WAY_OUT
from engine.export.proof.samples import shipped
from engine.models.folder import read_json
from engine.render.folder import read_tokenizer
from engine.render.renderer import Renderer
from store.errors import BadInput, Unsupported

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = 1, 2, 3, 4, 5, 6

_ENDS = (
    *("<|eot_id|>", "<|im_end|>", "<|end|>", "<|return|>", "<|call|>", "<|flush|>", "<|calls|>"),
    *("<end_of_turn>", "<|endoftext|>", "</s>", "<|eom_id|>", "<EOT>", "_<EOT>", "[EOT]", "[EOS]"),
    *("<|end_of_text|>", "<end_of_utterance>", "<eos>", "<turn|>", "<|tool_response>"),
    *("<｜end▁of▁sentence｜>", "[e~["),
)
"""Where a vocabulary has these texts, llama.cpp takes them for control tokens that end answers."""
_PHI3 = ("<unk>", "<s>", "<|endoftext|>", "</s>")
"""Where `general.name` holds phi-3, llama.cpp lets all special tokens but the first three of these
swallow the white space after them, and does not load a vocabulary that misses one of the four."""


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """What goes under `tokenizer.*` in a GGUF file.

    Attributes:
        model: `gpt2` (byte-level BPE) or `llama` (SentencePiece-like BPE with scores).
        pre: llama.cpp's name of the cut before merging.
        tokens, types: one a row of the embedding.
        scores: one a token for `llama`, else empty. merges: for `gpt2`, else empty.
        special: `bos`, `eos`, `eot`, `eom`, `unknown`, `padding` to ids.
        add_bos, add_eos: whether llama.cpp frames a text: as the post-processor does, but not
            where a chat was trained without.
        template: the chat template, verbatim but for a space that llama.cpp would not put before
            it, or None.
        given: what has to be done to texts before llama.cpp reads them.
    """

    model: str
    pre: str
    tokens: list[str]
    types: list[int]
    scores: list[float]
    merges: list[str]
    special: dict[str, int]
    add_bos: bool
    add_eos: bool
    template: str | None
    given: Given

    def named(self, name: str) -> str:
        """`general.name` of a model with this vocabulary: llama.cpp reads a rule from it."""
        swallowing = self.given.added - set(_PHI3[:3])
        wanted = bool(self.given.right) and self.given.right == swallowing
        wanted = wanted and set(_PHI3) <= set(self.tokens)
        if wanted:
            return name if re.search("phi-?3", name, re.IGNORECASE) else f"{name} (phi-3)"
        return re.sub("(phi)-?3", r"\1 3", name, flags=re.IGNORECASE)

    def write(self, writer: gguf.GGUFWriter) -> None:
        """Add every key to a file."""
        writer.add_tokenizer_model(self.model)
        writer.add_tokenizer_pre(self.pre)
        writer.add_token_list(self.tokens)
        writer.add_token_types(self.types)
        if self.model == "llama":
            writer.add_token_scores(self.scores)
            writer.add_add_space_prefix(self.given.prefix)
        else:
            writer.add_token_merges(self.merges)
        for name, token_id in self.special.items():
            writer.add_uint32(f"tokenizer.ggml.{name}_token_id", token_id)
        writer.add_add_bos_token(self.add_bos)
        writer.add_add_eos_token(self.add_eos)
        if self.template is not None:
            writer.add_chat_template(self.template)


def read_vocabulary(folder: Path, rows: int) -> Vocabulary:
    """Read the tokenizer of a model folder whose embedding has `rows` rows.

    Raises:
        Unsupported: a tokenizer llama.cpp would read differently.
        BadInput: the files contradict each other.
    """
    renderer = Renderer.load(folder)
    template = renderer.template_source
    given, _ = how_read(folder, template is None)
    path = folder / "tokenizer.json"
    data = read_json(path)
    model = data["model"]
    sentencepiece = bool(model.get("byte_fallback"))
    tokenizer = read_tokenizer(folder)
    special = _special(folder, renderer, tokenizer, model)
    add_bos, add_eos = _framing(tokenizer, special, renderer, path)
    if template is not None:
        # A chat is framed by its template alone, and llama.cpp would add to that.
        chat = shipped(renderer)[0]
        add_bos, add_eos = add_bos and chat.ids[:1] == (special.get("bos"),), False
        if given.text(chat.text) == f" {chat.text}":
            template = "{{ ' ' }}" + template
    merges = [_pair(merge) for merge in model.get("merges", [])]
    tokens, types = _tokens(tokenizer, rows, special.values(), path)
    if sentencepiece:
        _mark_sentencepiece(tokens, types, tokenizer, special.get("unknown"), path)
    return Vocabulary(
        model="llama" if sentencepiece else "gpt2",
        pre="default" if sentencepiece else _cut(data).name,
        tokens=tokens,
        types=types,
        scores=_scores(folder, tokens, merges) if sentencepiece else [],
        merges=[] if sentencepiece else [_merge_text(pair) for pair in merges],
        special=special,
        add_bos=add_bos,
        add_eos=add_eos,
        template=template,
        given=given,
    )


def how_read(folder: Path, prefix: bool) -> tuple[Given, tuple[str, ...]]:
    """What texts need before llama.cpp reads them, and what it reads otherwise all the same.

    Args:
        prefix: the file's `add_space_prefix`. Ours have it where the tokenizer asks for it; where
            it asks for a space "only at the start", not for a chat: it starts with a special token.
    Raises:
        Unsupported: a tokenizer llama.cpp would read differently.
    """
    path = folder / "tokenizer.json"
    data = read_json(path)
    _check_model(data.get("model", {}), path)
    if data["model"].get("byte_fallback"):
        given, cut = given_of(data, False, prefix), ""
    else:
        nfc = pretokenizers.normalizes_nfc(data.get("normalizer"))
        given, cut = given_of(data, nfc, prefix), _cut(data).loses
    return given, (*given.unmended(), *([cut] if cut else []))


def _cut(data: Mapping[str, Any]) -> pretokenizers.Pre:
    ignore_merges = bool(data["model"].get("ignore_merges"))
    return pretokenizers.match(data.get("pre_tokenizer"), ignore_merges)


def _check_model(model: Mapping[str, Any], path: Path) -> None:
    """Refuse what llama.cpp's BPE has no word for."""
    if model.get("type") != "BPE":
        raise Unsupported(
            f"{path}: key model.type: {model.get('type')} is not known to the GGUF converter "
            "(it knows BPE).",
            WAY_OUT,
        )
    keys = ["continuing_subword_prefix", "end_of_word_suffix", "dropout"]
    keys += ["ignore_merges"] if model.get("byte_fallback") else []
    for key in keys:
        if model.get(key):
            raise Unsupported(
                f"{path}: key model.{key}: {model[key]!r} is not known to llama.cpp.", WAY_OUT
            )


def _special(
    folder: Path, renderer: Renderer, tokenizer: Tokenizer, model: Mapping[str, Any]
) -> dict[str, int]:
    """Special ids. The token that ends a turn becomes `eos`, further stops `eot` and `eom`.

    llama.cpp reads no list of stop ids: it has these three places, and a list of texts that it
    always takes for ends; these need no place. What does not fit is found by the proof.
    """
    found: dict[str, int] = {}
    bos = renderer.bos_id
    if bos is None:  # llama.cpp would make up an id, and templates would print its text
        bos = read_json(folder / "config.json").get("bos_token_id")
    if isinstance(bos, int) and 0 <= bos < 2**31 and tokenizer.id_to_token(bos) is not None:
        found["bos"] = bos
    first = [renderer.eos_id] if renderer.eos_id is not None else list(renderer.stop_ids[:1])
    others = [stop for stop in renderer.stop_ids if stop not in first]
    others.sort(key=lambda stop: tokenizer.id_to_token(stop) in _ENDS)
    found.update(zip(("eos", "eot", "eom"), [*first, *others], strict=False))
    if "eos" not in found:
        raise BadInput(
            f"{folder}: no eos_token in tokenizer_config.json, no eos_token_id beside it.",
            "Set eos_token in tokenizer_config.json; without it llama.cpp assumes id 2.",
        )
    path = folder / "tokenizer_config.json"
    config = read_json(path) if path.is_file() else {}
    for name, key in (("unknown", "unk_token"), ("padding", "pad_token")):
        text = config.get(key) or (model.get(key) if key == "unk_token" else None)
        text = text.get("content") if isinstance(text, dict) else text
        token_id = tokenizer.token_to_id(text) if isinstance(text, str) else None
        if token_id is not None:
            found[name] = token_id
    return found


def _framing(
    tokenizer: Tokenizer, special: Mapping[str, int], renderer: Renderer, path: Path
) -> tuple[bool, bool]:
    """Whether the post-processor puts BOS before and EOS after a text: told by trying it."""
    framed = tokenizer.encode("a", add_special_tokens=True).ids
    plain = tokenizer.encode("a", add_special_tokens=False).ids
    bos = [special["bos"]] if "bos" in special else []
    eos = [renderer.eos_id] if renderer.eos_id is not None else []
    for add_bos in (False, True):
        for add_eos in (False, True):
            if framed == [*(bos if add_bos else []), *plain, *(eos if add_eos else [])]:
                return add_bos, add_eos
    raise Unsupported(
        f"{path}: key post_processor: adds other tokens than BOS and EOS around a text.", WAY_OUT
    )


def _tokens(
    tokenizer: Tokenizer, rows: int, needed: Collection[int], path: Path
) -> tuple[list[str], list[int]]:
    """Token texts and types by id; holes up to the embedding's size are padded.

    Args:
        needed: ids that the file names, of which none may be left out.
    """
    added = tokenizer.get_added_tokens_decoder()  # the file's ids may be others than it gives out
    # Gemma 3's text models bring a token for images that their embedding has no row for.
    odd = {t.content for i, t in added.items() if i >= rows and t.special and i not in needed}
    added = {i: item for i, item in added.items() if item.content not in odd}
    every = tokenizer.get_vocab(with_added_tokens=True)
    vocab = {text: i for text, i in every.items() if text not in odd}
    beyond = max(vocab.values(), default=-1)
    if beyond >= rows:
        raise BadInput(
            f"{path}: token id {beyond} lies beyond the embedding's {rows} rows.",
            "Resize the model's embedding to the tokenizer, then train and export again.",
        )
    tokens = [f"[PAD{i}]" for i in range(rows)]
    types = [UNUSED] * rows
    for text, token_id in vocab.items():
        # Else llama.cpp would end answers at a token that no text leads to, and find it in texts.
        if text in _ENDS and token_id not in added and _ids(tokenizer, text) != [token_id]:
            continue
        tokens[token_id] = text
        types[token_id] = NORMAL
    for token_id, item in added.items():
        tokens[token_id] = item.content
        looks_special = item.content.startswith("<|") and item.content.endswith("|>")
        types[token_id] = CONTROL if item.special or looks_special else USER_DEFINED
    if len(set(tokens)) != rows:
        raise BadInput(
            f"{path}: two ids have the same text; llama.cpp refuses such a vocabulary.",
            "Restore tokenizer.json as the model's author published it.",
        )
    return tokens, types


def _ids(tokenizer: Tokenizer, text: str) -> list[int]:
    return list(tokenizer.encode(text, add_special_tokens=False).ids)


def _mark_sentencepiece(
    tokens: list[str], types: list[int], tokenizer: Tokenizer, unknown: int | None, path: Path
) -> None:
    """Types of the unknown token and of bytes; added tokens with their spaces as spaces."""
    added = tokenizer.get_added_tokens_decoder()
    for i, text in enumerate(tokens):
        if i == unknown:
            types[i] = UNKNOWN
        elif types[i] == NORMAL and re.fullmatch("<0x[0-9A-F]{2}>", text):
            types[i] = BYTE
        elif types[i] == USER_DEFINED and added[i].normalized:
            tokens[i] = text.replace("▁", " ")
    if types.count(BYTE) != 256:
        raise BadInput(
            f"{path}: key model.vocab: {types.count(BYTE)} of 256 byte tokens (<0x00> to <0xFF>).",
            "Restore tokenizer.json as the model's author published it.",
        )


def _scores(folder: Path, tokens: list[str], merges: list[tuple[str, str]]) -> list[float]:
    """tokenizer.model's scores, where they say the same as the merges training went by."""
    ranks = scores.of_merges(tokens, merges)
    path = folder / "tokenizer.model"
    if not path.is_file():
        return ranks
    known = scores.of_model(path)
    if not scores.agree(known, merges):
        return ranks
    return [known.get(text, rank) for text, rank in zip(tokens, ranks, strict=True)]


def _pair(merge: str | list[str]) -> tuple[str, str]:
    left, right = merge.split(" ") if isinstance(merge, str) else merge
    return left, right


def _merge_text(pair: tuple[str, str]) -> str:
    """One line of `tokenizer.ggml.merges`; a space inside a token is written as U+0120."""
    return " ".join(part.replace(" ", chr(ord(" ") + 256)) for part in pair)
