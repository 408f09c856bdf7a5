"""A Hugging Face tokenizer as llama.cpp wants it: tokens, types, merges or scores, special ids.

Knows tokenizer.json and the files beside it. Does not know tensors. What it writes is proved
afterwards by tokenising the same texts on both sides (see `proof`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from engine.export import pretokenizers
from engine.models.folder import read_json
from engine.render.renderer import Renderer
from store.errors import BadInput, Unsupported

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = 1, 2, 3, 4, 5, 6
_MERGED = "Use --to merged: a folder for transformers with the tokenizer as it is."
_NO_MERGE = -1e6


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """What goes under `tokenizer.*` in a GGUF file.

    Attributes:
        model: `gpt2` (byte-level BPE) or `llama` (SentencePiece-like BPE with scores).
        pre: llama.cpp's name of the cut before merging.
        tokens, types: one a row of the embedding.
        scores: one a token for `llama`, else empty. merges: for `gpt2`, else empty.
        special: `bos`, `eos`, `eot`, `eom`, `unknown`, `padding` to ids.
        add_bos, add_eos: whether plain text is framed, as the post-processor does.
        add_space_prefix: for `llama`: whether text starts with an invisible space.
        template: the chat template, verbatim, or None.
        nfc: whether the tokenizer brings text to NFC first; llama.cpp does not.
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
    add_space_prefix: bool
    template: str | None
    nfc: bool


def read_vocabulary(folder: Path, rows: int) -> Vocabulary:
    """Read the tokenizer of a model folder whose embedding has `rows` rows.

    Raises:
        Unsupported: a tokenizer llama.cpp would read differently.
        BadInput: the files contradict each other.
    """
    path = folder / "tokenizer.json"
    data = read_json(path)
    model = data.get("model", {})
    if model.get("type") != "BPE":
        raise Unsupported(
            f"{path}: key model.type: {model.get('type')} is not known to the GGUF converter "
            "(it knows BPE).",
            _MERGED,
        )
    renderer = Renderer.load(folder)
    tokenizer = Tokenizer.from_file(str(path))
    special = _special(folder, renderer, tokenizer, model)
    add_bos, add_eos = _framing(tokenizer, special, renderer, path)
    added = {int(item["id"]): item for item in data.get("added_tokens", [])}
    space = _space_prefix(data)
    if space is None:
        pre = pretokenizers.match(data.get("pre_tokenizer"), bool(model.get("ignore_merges")))
        nfc = pretokenizers.normalizes_nfc(data.get("normalizer"))
        _check_byte_level(model, path)
    else:
        pre, nfc = "default", False
    merges = [_pair(merge) for merge in model.get("merges", [])]
    tokens, types = _tokens(tokenizer.get_vocab(with_added_tokens=True), added, rows, path)
    scores: list[float] = []
    if space is not None:
        _mark_sentencepiece(tokens, types, str(model.get("unk_token")))
        scores = _scores(tokens, merges)
    return Vocabulary(
        model="gpt2" if space is None else "llama",
        pre=pre,
        tokens=tokens,
        types=types,
        scores=scores,
        merges=[_merge_text(pair) for pair in merges] if space is None else [],
        special=special,
        add_bos=add_bos,
        add_eos=add_eos,
        add_space_prefix=bool(space),
        template=renderer.template_source,
        nfc=nfc,
    )


def _special(
    folder: Path, renderer: Renderer, tokenizer: Tokenizer, model: Mapping[str, Any]
) -> dict[str, int]:
    """Special ids. The token that ends a turn becomes `eos`, further stops `eot` and `eom`.

    llama.cpp reads no list of stop ids: it has these three places, and its end-of-generation set
    also knows some texts. What does not fit is found by the proof's stops stage.
    """
    found: dict[str, int] = {}
    bos = renderer.bos_id
    if bos is None:  # llama.cpp would make up an id, and templates would print its text
        bos = read_json(folder / "config.json").get("bos_token_id")
    if isinstance(bos, int):
        found["bos"] = bos
    stops = list(renderer.stop_ids)
    if renderer.eos_id in stops:
        stops.remove(renderer.eos_id)
        stops.insert(0, renderer.eos_id)
    found.update(zip(("eos", "eot", "eom"), stops, strict=False))
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
        f"{path}: key post_processor: adds other tokens than BOS and EOS around a text.", _MERGED
    )


def _space_prefix(data: Mapping[str, Any]) -> bool | None:
    """None for byte-level BPE; for SentencePiece-like BPE whether a space is put before text."""
    model = data["model"]
    if not model.get("byte_fallback"):
        return None
    cut, normalizer = data.get("pre_tokenizer"), data.get("normalizer")
    if cut and cut.get("type") == "Metaspace" and normalizer is None and not cut.get("split"):
        return bool(cut.get("prepend_scheme") in ("first", "always"))
    if cut is None and normalizer and normalizer.get("type") in ("Sequence", "Replace"):
        steps = normalizer.get("normalizers", [normalizer])
        kinds = [step.get("type") for step in steps]
        last = steps[-1]
        replaces = last.get("pattern") == {"String": " "} and last.get("content") == "▁"
        if replaces and kinds in (["Prepend", "Replace"], ["Replace"]):
            return bool(kinds[0] == "Prepend")
    raise Unsupported(
        "tokenizer.json: keys normalizer and pre_tokenizer: a byte-fallback BPE that cuts text in "
        "a way the GGUF converter does not know.",
        _MERGED,
    )


def _check_byte_level(model: Mapping[str, Any], path: Path) -> None:
    for key in ("continuing_subword_prefix", "end_of_word_suffix", "dropout"):
        if model.get(key):
            raise Unsupported(
                f"{path}: key model.{key}: {model[key]!r} is not known to llama.cpp.", _MERGED
            )


def _tokens(
    vocab: Mapping[str, int], added: Mapping[int, Mapping[str, Any]], rows: int, path: Path
) -> tuple[list[str], list[int]]:
    """Token texts and types by id; holes up to the embedding's size are padded."""
    beyond = max(vocab.values(), default=-1)
    if beyond >= rows:
        raise BadInput(
            f"{path}: token id {beyond} lies beyond the embedding's {rows} rows.",
            "Resize the model's embedding to the tokenizer, then train and export again.",
        )
    tokens = [f"[PAD{i}]" for i in range(rows)]
    types = [UNUSED] * rows
    for text, token_id in vocab.items():
        tokens[token_id] = text
        types[token_id] = NORMAL
    for token_id, item in added.items():
        tokens[token_id] = str(item["content"])
        looks_special = tokens[token_id].startswith("<|") and tokens[token_id].endswith("|>")
        types[token_id] = CONTROL if item.get("special") or looks_special else USER_DEFINED
    if len(set(tokens)) != rows:
        raise BadInput(
            f"{path}: two ids have the same text; llama.cpp refuses such a vocabulary.",
            "Restore tokenizer.json as the model's author published it.",
        )
    return tokens, types


def _mark_sentencepiece(tokens: list[str], types: list[int], unknown: str) -> None:
    for i, text in enumerate(tokens):
        if text == unknown:
            types[i] = UNKNOWN
        elif types[i] == NORMAL and len(text) == 6 and text.startswith("<0x") and text[-1] == ">":
            types[i] = BYTE
        elif types[i] == USER_DEFINED:
            tokens[i] = text.replace("▁", " ")


def _scores(tokens: Sequence[str], merges: Sequence[tuple[str, str]]) -> list[float]:
    """SentencePiece scores rebuilt from merge ranks: minus the rank of a token's first merge."""
    rank: dict[str, int] = {}
    for i, (left, right) in enumerate(merges):
        rank.setdefault(left + right, i)
    return [-float(rank[text]) if text in rank else _NO_MERGE for text in tokens]


def _pair(merge: str | Sequence[str]) -> tuple[str, str]:
    left, right = merge.split(" ") if isinstance(merge, str) else merge
    return left, right


def _merge_text(pair: tuple[str, str]) -> str:
    """One line of `tokenizer.ggml.merges`; a space inside a token is written as U+0120."""
    return " ".join(part.replace(" ", chr(ord(" ") + 256)) for part in pair)
