"""The starter model's tokenizer and chat template: byte-level BPE, split as llama.cpp splits.

Knows the special tokens, how the vocabulary is trained and how the folder's tokenizer files look.
Does not know models or weights.

The pre-tokenizer is GPT-2's, which llama.cpp knows as ``gpt-2``. Digits are kept single by keeping
them out of every merge, and so are line ends: the ids of a turn never depend on its neighbours.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from tokenizers.pre_tokenizers import ByteLevel

PAD, BOS, SYSTEM, USER, ASSISTANT, END = SPECIAL_TOKENS = (
    "<|pad|>",
    "<|bos|>",
    "<|system|>",
    "<|user|>",
    "<|assistant|>",
    "<|end|>",
)
ROLE_TOKENS = {"system": SYSTEM, "user": USER, "assistant": ASSISTANT}
MAX_POSITIONS = 1024

# The layout is that of llama.cpp's built-in "phi3" template, because that is the one it picks by
# these token names where it does not run Jinja.
CHAT_TEMPLATE = """\
{{- bos_token -}}
{%- for message in messages -%}
{%- if message['content'] is not string -%}
{{- raise_exception('The content of every message must be text.') -}}
{%- elif message['role'] == 'assistant' -%}
{{- '<|assistant|>\\n' -}}
{%- generation -%}
{{- message['content'] + '<|end|>' -}}
{%- endgeneration -%}
{{- '\\n' -}}
{%- elif message['role'] == 'system' or message['role'] == 'user' -%}
{{- '<|' + message['role'] + '|>\\n' + message['content'] + '<|end|>\\n' -}}
{%- else -%}
{{- raise_exception('Unknown role ' + message['role'] + ': use system, user or assistant.') -}}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}
{{- '<|assistant|>\\n' -}}
{%- endif -%}
"""


def train_tokenizer(texts: Iterable[str], vocab_size: int) -> Tokenizer:
    """Train the BPE vocabulary of exactly ``vocab_size`` entries on ``texts``.

    Raises:
        ValueError: the texts are too small for so many merges.
    """
    tokenizer = Tokenizer(models.BPE())
    # Only for the training: isolate digits and line ends, so that no merge contains one.
    alone = pre_tokenizers.Split(Regex(r"[0-9\n]"), behavior="isolated")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([alone, ByteLevel(add_prefix_space=False)])
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    if tokenizer.get_vocab_size() != vocab_size:
        raise ValueError(f"text gives {tokenizer.get_vocab_size()} tokens, wanted {vocab_size}")
    tokenizer.pre_tokenizer = ByteLevel(add_prefix_space=False, use_regex=True)
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def save_tokenizer(tokenizer: Tokenizer, folder: Path) -> None:
    """Write tokenizer.json, tokenizer_config.json and chat_template.jinja into ``folder``."""
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "add_bos_token": False,
        "bos_token": BOS,
        "eos_token": END,
        "pad_token": PAD,
        "clean_up_tokenization_spaces": False,
        "model_max_length": MAX_POSITIONS,
        "model_input_names": ["input_ids", "attention_mask"],
    }
    (folder / "tokenizer_config.json").write_text(f"{json.dumps(config, indent=2)}\n")
    (folder / "chat_template.jinja").write_text(CHAT_TEMPLATE)
