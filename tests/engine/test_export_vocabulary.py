"""Tokenizers in GGUF files: the same ids as the original, or a refusal that names the part."""

from __future__ import annotations

import json
import struct
import unicodedata
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer, models, trainers

from bench.vocabularies import TEMPLATE, crossing, differing, merges_of
from engine.export.gguf import pretokenizers, scores
from engine.export.gguf.given import Given, _either, given_of
from engine.export.gguf.vocabulary import CONTROL, UNUSED, USER_DEFINED, read_vocabulary
from engine.export.proof.torture import torture
from store.errors import BadInput, Unsupported
from tests.engine.export_models import STARTER, TOKENIZER_FILES, edit_json

ROWS = pretokenizers.TABLE
REPLACE = {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}
PREPEND = {"type": "Prepend", "prepend": "▁"}
BYTES = {"type": "ByteLevel", "trim_offsets": True, "use_regex": True}
METASPACE = {"type": "Metaspace", "replacement": "▁", "split": False}


def starter(folder: Path) -> Path:
    """A folder with the starter's tokenizer and nothing else."""
    folder.mkdir()
    for name in TOKENIZER_FILES:
        (folder / name).write_bytes((STARTER / name).read_bytes())
    (folder / "config.json").write_text("{}")
    return folder


def edit_model(folder: Path, **changes: Any) -> None:
    model = json.loads((folder / "tokenizer.json").read_text())["model"]
    edit_json(folder / "tokenizer.json", model={**model, **changes})


@pytest.mark.parametrize("row", ROWS, ids=[row.name for row in ROWS])
def test_a_cut_of_the_table_is_llama_cpps_but_where_it_says(
    row: pretokenizers.Pre, tmp_path: Path
) -> None:
    base = crossing(row, tmp_path / "base")
    texts = torture(["<|pad|>", "<|end|>"])[:: 4 if row.loses else 1]  # those cuts are slow
    _, different = differing(base, tmp_path, texts)
    assert bool(different) == bool(row.loses)
    assert not [text for text in different if text.isascii()]
    assert len(different) < len(texts) / 5


def sentencepiece(folder: Path, *, cut: Any = None, steps: Any = (), template: bool = True) -> Path:
    """A small tokenizer like Llama 2's: every way to make a token of two is a merge."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    special = ["<unk>", "<s>", "</s>", "<|user|>", *(f"<0x{byte:02X}>" for byte in range(256))]
    trainer = trainers.BpeTrainer(vocab_size=1200, special_tokens=special, show_progress=False)
    texts = [text.replace(" ", "▁") for text in torture([])[:150] if text.isascii()]
    tokenizer.train_from_iterator(texts, trainer)
    data = json.loads(tokenizer.to_str())
    vocab = data["model"]["vocab"]
    plain = {text: i for text, i in vocab.items() if i >= len(special)}
    data["model"]["merges"] = merges_of(plain, [-float(i) for i in range(len(vocab))])
    data["added_tokens"] = data["added_tokens"][:4]
    data["normalizer"] = {"type": "Sequence", "normalizers": list(steps)} if steps else None
    data["pre_tokenizer"] = cut
    folder.mkdir()
    (folder / "tokenizer.json").write_text(json.dumps(data))
    config = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    config |= {"chat_template": TEMPLATE} if template else {}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    (folder / "config.json").write_text("{}")
    return folder


@pytest.mark.parametrize(
    ("shape", "most_raw", "most"),
    [
        ({"steps": [PREPEND, REPLACE]}, 0, 0),
        ({"steps": [REPLACE]}, 0, 0),
        ({"cut": {**METASPACE, "prepend_scheme": "never"}}, 0, 0),
        ({"cut": {**METASPACE, "prepend_scheme": "first"}}, 1400, 0),
        ({"cut": {**METASPACE, "prepend_scheme": "first"}, "template": False}, 400, 40),
        ({"cut": {**METASPACE, "prepend_scheme": "always"}}, 400, 20),
    ],
    ids=["prepended", "Gemma's", "never", "first", "first, no template", "always"],
)
def test_every_rule_for_the_first_space(
    shape: dict[str, Any], most_raw: int, most: int, tmp_path: Path
) -> None:
    base = sentencepiece(tmp_path / "base", **shape)
    edit_model(base, unk_token=None)  # as transformers 5 writes it
    texts = torture(["<unk>", "<s>", "</s>", "<|user|>"])
    raw, mended = differing(base, tmp_path, texts)
    assert len(raw) <= most_raw
    assert len(mended) <= most


def test_a_chat_of_a_metaspace_tokenizer_is_read_as_it_is(tmp_path: Path) -> None:
    base = sentencepiece(tmp_path / "base", cut={**METASPACE, "prepend_scheme": "first"})
    chats = [f"<s><|user|>{text}</s>\n hello<|user|>  {text}" for text in torture([])[:300]]
    assert differing(base, tmp_path, chats) == ([], [])


def _piece(text: str, score: float) -> bytes:
    raw = text.encode()
    inner = b"\x0a" + bytes([len(raw)]) + raw + b"\x15" + struct.pack("<f", score) + b"\x18\x01"
    return b"\x0a" + bytes([len(inner)]) + inner


def test_scores_of_tokenizer_model_where_they_order_the_merges_as_training_did(
    tmp_path: Path,
) -> None:
    base = sentencepiece(tmp_path / "base", steps=[PREPEND, REPLACE])
    size = len(json.loads((base / "tokenizer.json").read_text())["model"]["vocab"])
    ranks = read_vocabulary(base, size)
    order = sorted(range(size), key=lambda i: -ranks.scores[i])
    file = base / "tokenizer.model"
    pieces = [_piece(ranks.tokens[i], -2.0 * place) for place, i in enumerate(order)]
    file.write_bytes(b"".join(pieces) + b"\x12\x02\x18\x02")
    kept = read_vocabulary(base, size)
    assert [kept.scores[i] for i in order[:3]] == [0.0, -2.0, -4.0]
    assert ranks.scores[order[1]] != -2.0

    file.write_bytes(b"".join(_piece(ranks.tokens[i], float(i)) for i in range(size)))
    assert read_vocabulary(base, size).scores == ranks.scores


@pytest.mark.parametrize(
    "data",
    [b"\x0a\xff", b"\x0a\x05\x0a\x10a", b"\x0b", b"\xff" * 20, b"\x0a\x02\x0a\xc8", b"\x09abc"],
    ids=["cut", "longer inside", "group", "endless", "no end", "half a double"],
)
def test_a_hostile_tokenizer_model_is_refused(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "tokenizer.model").write_bytes(data)
    with pytest.raises(BadInput, match="SentencePiece"):
        scores.of_model(tmp_path / "tokenizer.model")


def test_special_ids_types_and_holes(tmp_path: Path) -> None:
    base = starter(tmp_path / "base")
    data = json.loads((base / "tokenizer.json").read_text())
    size = len(data["model"]["vocab"])
    more = ["<|eot_id|>", "<stop>", "<halt>"]
    extra = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    data["added_tokens"] += [
        {"id": size + i, "content": text, "special": text == "<halt>", **extra}
        for i, text in enumerate(more)
    ]
    (base / "tokenizer.json").write_text(json.dumps(data))
    stops = [5, size, size + 1, size + 2]
    (base / "generation_config.json").write_text(json.dumps({"eos_token_id": stops}))
    found = read_vocabulary(base, size + 10)
    assert found.special["eos"] == 5
    assert [found.special[name] for name in ("eot", "eom")] == [size + 1, size + 2]
    assert found.tokens[size + 3 :] == [f"[PAD{i}]" for i in range(size + 3, size + 10)]
    assert found.types[size:] == [CONTROL, USER_DEFINED, CONTROL, *[UNUSED] * 7]


def test_ids_that_mean_none_are_none(tmp_path: Path) -> None:
    base = starter(tmp_path / "base")
    edit_json(base / "tokenizer_config.json", bos_token=None)
    for number in (-1, 2**40, 4000):
        edit_json(base / "config.json", bos_token_id=number, eos_token_id=[-1, 2**40])
        found = read_vocabulary(base, 2048)
        assert "bos" not in found.special
        assert found.special["eos"] == 5


def test_a_token_that_no_text_leads_to_is_no_end_of_answers(tmp_path: Path) -> None:
    base = starter(tmp_path / "base")
    vocab = json.loads((base / "tokenizer.json").read_text())["model"]["vocab"]
    edit_model(base, vocab={**vocab, "</s>": len(vocab)})
    found = read_vocabulary(base, len(vocab) + 1)
    assert found.tokens[-1] == f"[PAD{len(vocab)}]"
    assert found.types[-1] == UNUSED


def test_a_chat_that_was_trained_without_begin_token_gets_none(tmp_path: Path) -> None:
    base = sentencepiece(tmp_path / "base", steps=[PREPEND, REPLACE])
    begin = {"SpecialToken": {"id": "<s>", "type_id": 0}}
    single = [begin, {"Sequence": {"id": "A", "type_id": 0}}]
    known = {"<s>": {"id": "<s>", "ids": [1], "tokens": ["<s>"]}}
    frame = {"type": "TemplateProcessing", "single": single, "pair": single}
    frame["pair"] = [*single, {"Sequence": {"id": "B", "type_id": 1}}]
    edit_json(base / "tokenizer.json", post_processor={**frame, "special_tokens": known})
    assert read_vocabulary(base, 1200).add_bos
    edit_json(base / "tokenizer_config.json", chat_template=TEMPLATE.replace("{{ bos_token }}", ""))
    assert not read_vocabulary(base, 1200).add_bos
    edit_json(base / "tokenizer_config.json", chat_template=None)
    assert read_vocabulary(base, 1200).add_bos


def test_white_space_beside_a_token_and_marks_after_it() -> None:
    given = Given(True, frozenset(["<a>", "<a>>"]), frozenset(["<a>"]), frozenset(["<a>>"]))
    assert given.text("x \u2003<a> y<a>> \n z") == "x<a> y<a>>z"
    assert given.text("<a>\u0338e\u0301") == "<a>\u0338é"
    assert len(given.mended()) == 2
    assert Given().text(" a") == " a"
    empty = {"model": {}, "added_tokens": [{"content": "", "rstrip": True}]}
    assert given_of(empty, False, False).text("a  b") == "a  b"


def test_thousands_of_added_tokens_are_sorted_once() -> None:
    """Of models of speech: for every text anew they took an hour."""
    many = Given(nfc=True, added=frozenset(f"<audio_{number}>" for number in range(500)))
    before = _either.cache_info().misses
    assert [many.text(f"e\u0301<audio_{n}>e\u0301") for n in (1, 12)] == [
        "é<audio_1>é",
        "é<audio_12>é",
    ]
    assert _either.cache_info().misses == before + 1


def test_the_name_that_makes_llama_cpp_swallow_spaces(tmp_path: Path) -> None:
    base = sentencepiece(tmp_path / "base", steps=[PREPEND, REPLACE])
    plain = read_vocabulary(base, 1200)
    assert plain.named("My Phi-3 tune") == "My Phi 3 tune"
    data = json.loads((base / "tokenizer.json").read_text())
    for token in data["added_tokens"]:
        token["rstrip"] = token["content"] in ("</s>", "<|user|>")
    last = {"id": len(data["model"]["vocab"]), "content": "<|endoftext|>"}
    data["added_tokens"].append({**data["added_tokens"][0], **last})
    (base / "tokenizer.json").write_text(json.dumps(data))
    assert read_vocabulary(base, 1201).named("tune") == "tune (phi-3)"
    texts = [text for text in torture(["</s>", "<|user|>", "<|endoftext|>"]) if text.isascii()]
    assert differing(base, tmp_path, texts) == ([], [])


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({"pre_tokenizer": {"type": "Whitespace"}}, "step 1 .*Whitespace"),
        ({"pre_tokenizer": {**BYTES, "add_prefix_space": True}}, "step 1"),
        ({"normalizer": {"type": "Lowercase"}}, "normalizer: Lowercase"),
        ({"post_processor": {**BYTES, "add_prefix_space": False}}, ""),
    ],
    ids=["unknown cut", "space before", "normaliser", "harmless"],
)
def test_what_is_not_known_is_named_with_a_way_out(
    change: dict[str, Any], part: str, tmp_path: Path
) -> None:
    base = starter(tmp_path / "base")
    edit_json(base / "tokenizer.json", **change)
    if not part:
        assert read_vocabulary(base, 2048).tokens
        return
    with pytest.raises(Unsupported, match=part) as caught:
        read_vocabulary(base, 2048)
    assert "--to merged" in caught.value.hint
    assert "--llama-cpp" in caught.value.hint


def test_the_step_that_is_unknown_is_the_one_named() -> None:
    regex = next(row for row in ROWS if row.name == "dbrx").steps[0][1]
    split: dict[str, Any] = {"type": "Split", "pattern": {"Regex": regex}, "behavior": "Isolated"}
    level = {**BYTES, "add_prefix_space": False, "use_regex": False}

    def match(*steps: Any, ignore: bool = False) -> str:
        cut = {"type": "Sequence", "pretokenizers": steps}
        return pretokenizers.match(cut, ignore).name

    with pytest.raises(Unsupported, match=r"step 2 \('Punctuation'\)"):
        match(split, {"type": "Punctuation"})
    assert match(split, level, ignore=True) == "llama-bpe"
    assert match(split, level) == "dbrx"
    assert match({**split, "behavior": "Removed", "invert": True}, level) == "dbrx"


def test_vocabularies_that_cannot_be_right_are_refused(tmp_path: Path) -> None:
    base = starter(tmp_path / "base")
    with pytest.raises(BadInput, match="beyond the embedding's 100 rows"):
        read_vocabulary(base, 100)
    unigram = {"type": "Unigram", "unk_id": 0, "vocab": [["<unk>", 0.0], ["a", -1.0]]}
    edit_json(base / "tokenizer.json", model=unigram)
    with pytest.raises(Unsupported, match=r"model\.type"):
        read_vocabulary(base, 2048)
    spm = sentencepiece(tmp_path / "spm", steps=[REPLACE])
    vocab = json.loads((spm / "tokenizer.json").read_text())["model"]["vocab"]
    vocab["<0xZZ>"] = vocab.pop("<0x00>")
    edit_model(spm, vocab=vocab)
    with pytest.raises(BadInput, match="255 of 256 byte tokens"):
        read_vocabulary(spm, 1200)


def test_hostile_texts_are_many_and_always_the_same() -> None:
    texts = torture(["<|im_end|>", "<x>"])
    assert texts == torture(["<|im_end|>", "<x>"])
    assert len(set(texts)) == len(texts) > 1300
    assert {"<x>", "a<x>b", " <x> x\n<x><x>\n\n1"} <= set(texts)
    assert any(unicodedata.normalize("NFC", text) != text for text in texts)


def test_a_template_without_special_token_at_its_start_gets_the_space(tmp_path: Path) -> None:
    """As TinyLlama's: `<|user|>` is text there, and llama.cpp is told to put no space."""
    base = sentencepiece(tmp_path / "base", cut={**METASPACE, "prepend_scheme": "first"})
    assert read_vocabulary(base, 1200).template == TEMPLATE
    bare = TEMPLATE.replace("{{ bos_token }}", "")
    edit_json(base / "tokenizer_config.json", chat_template=bare)
    found = read_vocabulary(base, 1200)
    assert found.template == "{{ ' ' }}" + bare
    assert not found.given.prefix
