"""The starter's tokenizer and template: single digits, stable turns, the same ids in llama.cpp."""

from __future__ import annotations

import json
import random
from pathlib import Path

import gguf
import jinja2
import pytest
from llama_cpp import Llama
from tokenizers import Tokenizer
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from engine.starter import world
from engine.starter.tokenizer import END, PAD, SPECIAL_TOKENS
from engine.starter.worker import Encoder

_HOSTILE = (
    "",
    " ",
    "\n",
    "\n\n\n",
    " 12  345\n6",
    "  two spaces  ",
    "a\tb\r\nc",
    "I'm she'll WE'RE don't",
    "x=1;y+=2**10 // 3.14",
    "naïve café “quoted” — 1 000 €",
    "日本語 and עברית and ไทย",
    "👩‍👩‍👧 \u200b\u202e\x00\x1b[31m",
    "a" * 300,
    "٣٤٥ ½ Ⅷ",
)


@pytest.fixture(scope="module")
def hf(starter: Path) -> PreTrainedTokenizerBase:
    """The shipped tokenizer as transformers loads it."""
    return AutoTokenizer.from_pretrained(starter)


def _texts(count: int) -> list[str]:
    rng = random.Random(9)
    world_text = [m["content"] for talked in world.conversations(9, count) for m in talked]
    noise = ["".join(chr(rng.choice((*range(32, 127), 233, 8364, 10))) for _ in range(40))
             for _ in range(count)]  # fmt: skip
    return [*_HOSTILE, *world_text, *noise]


def test_no_merge_contains_a_digit_or_a_line_end(starter: Path) -> None:
    model = json.loads((starter / "tokenizer.json").read_text())["model"]
    line_end = "Ċ"
    for left, right in model["merges"]:
        assert not any(sign.isdigit() or sign == line_end for sign in left + right)


def test_text_survives_the_round_trip(hf: PreTrainedTokenizerBase) -> None:
    for text in _texts(60):
        ids = hf(text, add_special_tokens=False)["input_ids"]
        assert hf.decode(ids) == text


def test_padding_is_not_the_end_of_a_turn(hf: PreTrainedTokenizerBase) -> None:
    assert (hf.eos_token, hf.pad_token) == (END, PAD)
    assert hf.convert_tokens_to_ids(list(SPECIAL_TOKENS)) == list(range(len(SPECIAL_TOKENS)))


def test_the_template_renders_what_the_training_encoder_encodes(
    hf: PreTrainedTokenizerBase, starter: Path
) -> None:
    encoder = Encoder(Tokenizer.from_file(str(starter / "tokenizer.json")))
    for talked in world.conversations(8, 300):
        rendered = hf.apply_chat_template(
            talked, return_dict=True, return_assistant_tokens_mask=True
        )
        ids, mask = encoder.encode(talked)
        assert rendered["input_ids"] == ids
        assert rendered["assistant_masks"] == [int(said) for said in mask]


@pytest.mark.parametrize("text", _HOSTILE)
def test_a_turn_has_the_same_ids_in_any_company(hf: PreTrainedTokenizerBase, text: str) -> None:
    asked = [{"role": "user", "content": text}]
    said = [*asked, {"role": "assistant", "content": text}]
    prompt = hf.apply_chat_template(asked, add_generation_prompt=True)["input_ids"]
    whole = hf.apply_chat_template(said)["input_ids"]
    alone = hf(text, add_special_tokens=False)["input_ids"]
    assert whole[: len(prompt)] == prompt
    assert whole[len(prompt) : len(prompt) + len(alone)] == alone


def test_an_unknown_role_is_a_clear_error(hf: PreTrainedTokenizerBase) -> None:
    with pytest.raises(jinja2.TemplateError, match="Unknown role tool: use system, user or assist"):
        hf.apply_chat_template([{"role": "tool", "content": "x"}], tokenize=False)


def test_content_that_is_not_text_is_a_clear_error(hf: PreTrainedTokenizerBase) -> None:
    with pytest.raises(jinja2.TemplateError, match="must be text"):
        hf.apply_chat_template([{"role": "user", "content": None}], tokenize=False)


def _vocabulary_file(starter: Path, path: Path) -> None:
    """A GGUF that holds the vocabulary alone."""
    data = json.loads((starter / "tokenizer.json").read_text())
    tokens = sorted(data["model"]["vocab"], key=data["model"]["vocab"].__getitem__)
    special = {entry["content"] for entry in data["added_tokens"]}
    kinds = [gguf.TokenType.CONTROL if token in special else gguf.TokenType.NORMAL
             for token in tokens]  # fmt: skip
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types(kinds)
    writer.add_token_merges([" ".join(pair) for pair in data["model"]["merges"]])
    writer.add_add_bos_token(False)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()


def test_llama_cpp_gives_the_same_ids(
    hf: PreTrainedTokenizerBase, starter: Path, tmp_path: Path
) -> None:
    _vocabulary_file(starter, tmp_path / "vocabulary.gguf")
    llama = Llama(str(tmp_path / "vocabulary.gguf"), vocab_only=True, verbose=False)
    texts = [text for text in _texts(150) if "\x00" not in text]
    differing = [
        text
        for text in texts
        if llama.tokenize(text.encode(), add_bos=False, special=True)
        != hf(text, add_special_tokens=False)["input_ids"]
    ]
    assert differing == []
    talked = next(world.conversations(2, 1))
    rendered = hf.apply_chat_template(talked, tokenize=False)
    ids = hf.apply_chat_template(talked)["input_ids"]
    assert llama.tokenize(rendered.encode(), add_bos=False, special=True) == ids
