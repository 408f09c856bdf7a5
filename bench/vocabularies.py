"""Do exported tokenizers read text as the originals do? On every real vocabulary of llama.cpp.

Its sources hold the vocabularies of published models as GGUF files. From each the tokenizer.json
is rebuilt (and, where llama.cpp's converter knows a hash of what it gives, checked against that);
our converter writes it into a GGUF file, and more than 1,000 hostile texts are tokenised on both
sides. Prints how many differ: as they are, and given as the export's proof gives them.
"""

from __future__ import annotations

import ast
import hashlib
import json
import re
import struct
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

from bench.upstream import llama_cpp
from engine.export.gguf import pretokenizers
from engine.export.gguf.vocabulary import Vocabulary, how_read, read_vocabulary
from engine.export.proof.torture import torture
from engine.llama.client import LlamaWorker

TEMPLATE = "{{ bos_token }}{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}"
_REPLACE = {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}
_PREPEND = {"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "▁"}, _REPLACE]}
_WIDTH = 32
_MARK = "\n__ggml_vocab_test__\n"


@dataclass(frozen=True, slots=True)
class Real:
    """A vocabulary of a published model.

    Attributes:
        file: `ggml-vocab-FILE.gguf`. of: whose it is.
        cut: a row of our table; "" for SentencePiece-like ones.
        space: where a SentencePiece-like one puts its space: `prepend`, `first`, `always`, `none`.
        nfc: whether the original normalises. rstrip: whether added tokens swallow white space.
        template: whether it has a chat template.
    """

    file: str
    of: str
    cut: str = ""
    space: str = ""
    nfc: bool = False
    rstrip: bool = False
    template: bool = True


REAL = (
    Real("llama-bpe", "Llama 3, SmolLM3", "llama-bpe"),
    Real("qwen2", "Qwen 2, 2.5, 3", "qwen2", nfc=True),
    Real("qwen35", "Qwen 3.5 (cut)", "qwen35"),
    Real("gpt-2", "GPT-2", "gpt-2"),
    Real("starcoder", "StarCoder 2, SmolLM 2 (cut)", "smollm"),
    Real("refact", "Refact, Granite 3", "smollm"),
    Real("command-r", "Command R", "smollm", nfc=True),
    Real("deepseek-coder", "DeepSeek Coder", "deepseek-coder"),
    Real("llama-spm", "Llama 2, TinyLlama, Mistral", space="prepend"),
    Real("llama-spm", "… saved by transformers 5", space="first"),
    Real("llama-spm", "… without a chat template", space="first", template=False),
    Real("llama-spm", "… saved with legacy=True", space="always"),
    Real("phi-3", "Phi 3, 3.5", space="prepend", rstrip=True),
    Real("gemma-4", "Gemma (vocabulary of 4)", space="none"),
)


@dataclass(frozen=True, slots=True)
class Shipped:
    """What a vocabulary file of llama.cpp holds."""

    keys: dict[str, Any]

    def __getitem__(self, name: str) -> Any:
        return self.keys.get(f"tokenizer.ggml.{name}")

    def added(self, rstrip: bool) -> list[dict[str, Any]]:
        """Added tokens: those that are no plain pieces of text, nor holes."""
        found = []
        for i, (text, kind) in enumerate(zip(self["tokens"], self["token_type"], strict=True)):
            if kind in (2, 3, 4) and text != f"[PAD{i}]":
                token = {"id": i, "content": text, "single_word": False, "lstrip": False}
                swallows = rstrip and text not in ("<unk>", "<s>", "<|endoftext|>")
                token |= {"rstrip": swallows, "normalized": False, "special": kind != 4}
                found.append(token)
        return found


def shipped(path: Path) -> Shipped:
    """The keys of a GGUF file without tensors; `gguf` takes a minute for the largest."""
    data, at = path.read_bytes(), 24
    formats = dict(enumerate(("B", "b", "H", "h", "I", "i", "f", "?", "", "", "Q", "q", "d")))

    def value(kind: int) -> Any:
        nonlocal at
        if kind == 8:
            (size,) = struct.unpack_from("<Q", data, at)
            at += 8 + size
            return data[at - size : at].decode("utf-8")
        if kind == 9:
            inner, count = struct.unpack_from("<IQ", data, at)
            at += 12
            return [value(inner) for _ in range(count)]
        (found,) = struct.unpack_from("<" + formats[kind], data, at)
        at += struct.calcsize("<" + formats[kind])
        return found

    keys = {}
    for _ in range(struct.unpack_from("<Q", data, 16)[0]):
        name = value(8)
        keys[name] = value(value(4))
    return Shipped(keys)


def rebuilt(real: Real, held: Shipped) -> dict[str, Any]:
    """The tokenizer.json that `held` was made of."""
    added = held.added(real.rstrip)
    marked = {token["id"] for token in added}
    tokens: list[str] = held["tokens"]
    plain = {text: i for i, text in enumerate(tokens) if i not in marked}
    plain = {text: i for text, i in plain.items() if text != f"[PAD{i}]"}
    last = max(plain.values())
    vocab = plain | {token["content"]: token["id"] for token in added if token["id"] < last}
    model: dict[str, Any] = {"type": "BPE", "dropout": None, "vocab": vocab}
    cut: dict[str, Any] | None
    normalizer: dict[str, Any] | None
    if real.cut:
        row = next(row for row in pretokenizers.TABLE if row.name == real.cut)
        cut, normalizer = as_json(row.steps), {"type": "NFC"} if real.nfc else None
        model |= {"merges": held["merges"], "ignore_merges": row.ignore_merges}
    else:
        cut, normalizer = _spaces(real.space)
        merges = held["merges"] or merges_of(plain, held["scores"])
        model |= {"merges": merges, "unk_token": "<unk>", "fuse_unk": True, "byte_fallback": True}
    return {
        "version": "1.0",
        "added_tokens": added,
        "normalizer": normalizer,
        "pre_tokenizer": cut,
        "model": model,
    }


def as_json(steps: Sequence[tuple[str, ...]]) -> dict[str, Any]:
    """A row of our table as tokenizer.json writes it."""
    found: list[dict[str, Any]] = []
    cut: dict[str, Any]
    for name, text in steps:
        if name == "split":
            cut = {"type": "Split", "pattern": {"Regex": text}, "behavior": "Isolated"}
            found.append(cut | {"invert": False})
        elif name == "digits":
            found.append({"type": "Digits", "individual_digits": text == "True"})
        else:
            cut = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True}
            found.append(cut | {"use_regex": text == "True"})
    return {"type": "Sequence", "pretokenizers": found}


def _spaces(rule: str) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
    """Pre-tokenizer and normaliser of a SentencePiece-like tokenizer."""
    if rule == "none":
        cut = {"type": "Split", "pattern": {"String": " "}, "behavior": "MergedWithPrevious"}
        return {**cut, "invert": False}, _REPLACE
    if rule == "prepend":
        return None, _PREPEND
    return {"type": "Metaspace", "replacement": "▁", "prepend_scheme": rule, "split": False}, None


def merges_of(vocab: dict[str, int], scores: Sequence[float]) -> list[list[str]]:
    """Every way to make a token of two, the highest score first, as transformers does it."""
    found = []
    for text, i in vocab.items():
        halves = [(text[:at], text[at:]) for at in range(1, len(text))]
        pairs = [(a, b) for a, b in halves if a in vocab and b in vocab]
        pairs.sort(key=lambda pair: (vocab[pair[0]], vocab[pair[1]]))
        found += [(scores[i], [a, b]) for a, b in pairs]
    found.sort(key=lambda item: -item[0])
    return [pair for _, pair in found]


def folder_of(real: Real, held: Shipped, folder: Path) -> Path:
    """A model folder that holds nothing but the tokenizer."""
    folder.mkdir()
    (folder / "tokenizer.json").write_text(json.dumps(rebuilt(real, held)))
    names = {"bos_token": "bos_token_id", "eos_token": "eos_token_id"}
    config = {name: held["tokens"][held[key]] for name, key in names.items()}
    config |= {"chat_template": TEMPLATE} if real.template else {}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    (folder / "config.json").write_text("{}")
    return folder


def empty_model(vocabulary: Vocabulary, path: Path) -> Path:
    """The smallest file that llama.cpp opens with this vocabulary: one layer of zeros."""
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name(vocabulary.named("bench"))
    writer.add_context_length(512)
    writer.add_embedding_length(_WIDTH)
    writer.add_block_count(1)
    writer.add_feed_forward_length(_WIDTH)
    writer.add_head_count(1)
    writer.add_layer_norm_rms_eps(1e-5)
    vocabulary.write(writer)
    square = np.zeros((_WIDTH, _WIDTH), np.float16)
    writer.add_tensor("token_embd.weight", np.zeros((len(vocabulary.tokens), _WIDTH), np.float16))
    for name in ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"):
        writer.add_tensor(f"blk.0.{name}.weight", square)
    for name in ("output_norm", "blk.0.attn_norm", "blk.0.ffn_norm"):
        writer.add_tensor(f"{name}.weight", np.ones(_WIDTH, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def crossing(row: pretokenizers.Pre, folder: Path) -> Path:
    """A made tokenizer with the cut of `row`, whose merges lie across every place to cut at."""
    tokenizer = Tokenizer(models.BPE(ignore_merges=row.ignore_merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    trainer = trainers.BpeTrainer(
        vocab_size=6000,
        special_tokens=["<|pad|>", "<|end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(torture([]), trainer)
    data = {**json.loads(tokenizer.to_str()), "pre_tokenizer": as_json(row.steps)}
    folder.mkdir()
    (folder / "tokenizer.json").write_text(json.dumps(data))
    special = {"eos_token": "<|end|>", "pad_token": "<|pad|>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(special))
    (folder / "config.json").write_text("{}")
    return folder


def known_hash(sources: Path, tokenizer: Tokenizer, bos: int) -> str:
    """llama.cpp's own name for a tokenizer, told by its converter's hash; "" for none."""
    source = (sources / "conversion" / "base.py").read_text(encoding="utf-8")
    text = ast.literal_eval(re.findall(r"chktxt = ('.*')\n", source)[0])
    names = dict(re.findall(r'chkhsh == "(\w+)":\n.*\n\s+res = "([^"]+)"', source))
    ids = tokenizer.encode(text, add_special_tokens=False).ids
    tried = [hashlib.sha256(str(found).encode()).hexdigest() for found in ([bos, *ids], ids)]
    return next((names[one] for one in tried if one in names), "")


def expected(vocabulary: Path) -> Iterator[tuple[str, list[int]]]:
    """The texts that llama.cpp tests a vocabulary with, and their ids."""
    inputs, outputs = (Path(f"{vocabulary}{end}") for end in (".inp", ".out"))
    if inputs.is_file():
        texts = inputs.read_text(encoding="utf-8").split(_MARK)
        lines = outputs.read_text(encoding="utf-8").split("\n")
        for text, line in zip(texts, lines, strict=False):
            yield text, [int(number) for number in line.split()]


def differing(base: Path, folder: Path, texts: Sequence[str]) -> tuple[list[str], list[str]]:
    """The texts that our file of the tokenizer in `base` reads otherwise: as they are, and given.

    Args:
        folder: where the file is written.
    """
    tokenizer = Tokenizer.from_file(str(base / "tokenizer.json"))
    ours = [tokenizer.encode(text, add_special_tokens=False).ids for text in texts]
    vocabulary = read_vocabulary(base, tokenizer.get_vocab_size())
    given = vocabulary.given
    with LlamaWorker.open(empty_model(vocabulary, folder / "m.gguf"), folder / "log") as llama:
        found = [llama.tokenize(texts), llama.tokenize([given.text(text) for text in texts])]
    raw, mended = ([t for t, a, b in zip(texts, ours, ids, strict=True) if a != b] for ids in found)
    return raw, mended


def _measure(real: Real, sources: Path, folder: Path) -> bool:
    began = time.monotonic()
    file = sources / "models" / f"ggml-vocab-{real.file}.gguf"
    held = shipped(file)
    base = folder_of(real, held, folder / "base")
    tokenizer = Tokenizer.from_file(str(base / "tokenizer.json"))
    theirs = list(expected(file))
    texts = torture([token["content"] for token in held.added(False)])
    texts += [text for text, _ in theirs]
    raw, mended = differing(base, folder, texts)
    same = [tokenizer.encode(text, add_special_tokens=False).ids == ids for text, ids in theirs]
    kept = f"{sum(same)}/{len(same)}" if real.space not in ("first", "always") else "-"
    name = known_hash(sources, tokenizer, held["bos_token_id"]) if real.cut else "-"
    print(f"{real.file:15}{real.of:30}{name or 'unknown':16}", end="")
    print(f"{len(texts):6,}{len(raw):7,}{len(mended):7,}{kept:>12}", end="")
    print(f"{time.monotonic() - began:8.1f} s")
    return _said(base, mended)


def _said(base: Path, different: Sequence[str]) -> bool:
    """Print what is known of differing texts; False where it is nothing."""
    prefix = "chat_template" not in (base / "tokenizer_config.json").read_text()
    given, unmended = how_read(base, prefix)
    for sentence in (*given.mended(), *unmended):
        print(f"    {sentence}")
    for text in different[:3]:
        print(f"    {text!r:.90}")
    return not different or bool(unmended)


def _cuts() -> bool:
    """Every row of our table on a tokenizer that shows each difference in cutting."""
    good = True
    for row in pretokenizers.TABLE:
        with tempfile.TemporaryDirectory() as folder:
            base = crossing(row, Path(folder) / "base")
            texts = torture(["<|pad|>", "<|end|>"])
            raw, mended = differing(base, Path(folder), texts)
            print(f"{row.name:61}{len(texts):6,}{len(raw):7,}{len(mended):7,}")
            good = _said(base, mended) and good
    return good


def main() -> int:
    """Print two tables; 1 if a text differs where nothing says so."""
    sources = llama_cpp()
    print(
        f"{'vocabulary':15}{'whose':30}{'by hash':16}{'texts':>6}{'as is':>7}{'given':>7}", end=""
    )
    print("   own tests")
    good = True
    for real in REAL:
        if sys.argv[1:] and real.file not in sys.argv[1:]:
            continue
        with tempfile.TemporaryDirectory() as folder:
            good = _measure(real, sources, Path(folder)) and good
    print("\ncuts, on a made vocabulary whose merges lie across every place to cut at")
    return 0 if _cuts() and good else 1


if __name__ == "__main__":
    sys.exit(main())
