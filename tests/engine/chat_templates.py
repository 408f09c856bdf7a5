"""Chat templates as they are published, and what of two answers each should train.

Llama-2, Mistral, Zephyr, ChatML, SmolLM2 and Phi-4 are written out; those that TRL ships (Llama 3,
Gemma, Gemma 3, Phi-3, Qwen 2.5, Qwen 3 …) are read from where it is installed.
"""

from __future__ import annotations

from pathlib import Path

import trl
from tokenizers import AddedToken, Tokenizer

from engine.render import Renderer
from engine.render.template import ChatTemplate

SHIPPED = Path(trl.__file__).parent / "chat_templates"

LLAMA2 = (
    "{% if messages[0]['role'] == 'system' %}{% set loop_messages = messages[1:] %}"
    "{% set system_message = messages[0]['content'] %}{% else %}{% set loop_messages = messages %}"
    "{% set system_message = false %}{% endif %}{% for message in loop_messages %}"
    "{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception("
    "'Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}"
    "{% if loop.index0 == 0 and system_message != false %}{% set content = '<<SYS>>\\n' + "
    "system_message + '\\n<</SYS>>\\n\\n' + message['content'] %}{% else %}"
    "{% set content = message['content'] %}{% endif %}{% if message['role'] == 'user' %}"
    "{{ bos_token + '[INST] ' + content.strip() + ' [/INST]' }}"
    "{% elif message['role'] == 'assistant' %}{{ ' ' + content.strip() + ' ' + eos_token }}"
    "{% endif %}{% endfor %}"
)
MISTRAL = (
    "{{ bos_token }}{% for message in messages %}"
    "{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception("
    "'Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}"
    "{% if message['role'] == 'user' %}{{ '[INST] ' + message['content'] + ' [/INST]' }}"
    "{% elif message['role'] == 'assistant' %}{{ message['content'] + eos_token}}{% else %}"
    "{{ raise_exception('Only user and assistant roles are supported!') }}{% endif %}{% endfor %}"
)
ZEPHYR = (
    "{% for message in messages %}\n{% if message['role'] == 'user' %}\n"
    "{{ '<|user|>\\n' + message['content'] + eos_token }}\n"
    "{% elif message['role'] == 'system' %}\n"
    "{{ '<|system|>\\n' + message['content'] + eos_token }}\n"
    "{% elif message['role'] == 'assistant' %}\n"
    "{{ '<|assistant|>\\n'  + message['content'] + eos_token }}\n{% endif %}\n"
    "{% if loop.last and add_generation_prompt %}\n{{ '<|assistant|>' }}\n{% endif %}\n{% endfor %}"
)
CHATML = (
    "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\\n' + message['content'] "
    "+ '<|im_end|>' + '\\n'}}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
SMOLLM2 = (
    "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}"
    "{{ '<|im_start|>system\\nYou are a helpful AI assistant named SmolLM, trained by Hugging "
    "Face<|im_end|>\\n' }}{% endif %}{{'<|im_start|>' + message['role'] + '\\n' + "
    "message['content'] + '<|im_end|>' + '\\n'}}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
PHI4 = (
    "{% for message in messages %}{% if (message['role'] == 'system') %}"
    "{{'<|im_start|>system<|im_sep|>' + message['content'] + '<|im_end|>'}}"
    "{% elif (message['role'] == 'user') %}"
    "{{'<|im_start|>user<|im_sep|>' + message['content'] + '<|im_end|>'}}"
    "{% elif (message['role'] == 'assistant') %}"
    "{{'<|im_start|>assistant<|im_sep|>' + message['content'] + '<|im_end|>'}}"
    "{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant<|im_sep|>' }}{% endif %}"
)
WRITTEN = {
    "llama2": LLAMA2,
    "mistral": MISTRAL,
    "zephyr": ZEPHYR,
    "chatml": CHATML,
    "smollm2": SMOLLM2,
    "phi4": PHI4,
}
_IM = "<|im_end|>"
STOPS = {
    "llama2": "</s>",
    "mistral": "</s>",
    "zephyr": "</s>",
    "chatml": _IM,
    "smollm2": _IM,
    "phi4": _IM,
    "llama3": "<|eot_id|>",
    "llama3_1": "<|eot_id|>",
    "llama3_2": "<|eot_id|>",
    "gemma": "<end_of_turn>",
    "gemma3": "<end_of_turn>",
    "phi3": "<|end|>",
    "phi3_5": "<|end|>",
    "qwen2_5": _IM,
    "qwen3": _IM,
    "qwen3_instruct_2507": _IM,
    "qwen3_5_think": _IM,
    "smolvlm": "<end_of_utterance>",
    "lfm2_v2": _IM,
    "cohere": "<|END_OF_TURN_TOKEN|>",
    "deepseekv3": "<｜end▁of▁sentence｜>",
    "deepseek_r1_distill": "<｜end▁of▁sentence｜>",
}
"""The stop token of each family."""

_SPECIAL = (
    "<s>",
    "</s>",
    "<bos>",
    "<|begin_of_text|>",
    "<|im_start|>",
    "<|im_sep|>",
    "<|start_header_id|>",
    "<|end_header_id|>",
    "<start_of_turn>",
    "<|endoftext|>",
)


def renderer(name: str, source: str | None = None) -> Renderer:
    """The starter's tokenizer with a family's special tokens and template."""
    import assets

    text = source or WRITTEN.get(name) or (SHIPPED / f"{name}.jinja").read_text()
    tokenizer = Tokenizer.from_file(str(assets.path("starter", "tokenizer.json")))
    stop = STOPS[name.removesuffix("_training")]
    tokenizer.add_special_tokens(
        [AddedToken(token, special=True) for token in (*_SPECIAL, stop, *STOPS.values())]
    )
    tokenizer.add_tokens([AddedToken(token) for token in ("<think>", "</think>")])
    special = {"bos_token": "<s>", "eos_token": stop, "pad_token": "<|pad|>"}
    if name.startswith("phi3"):
        special["eos_token"] = "<|endoftext|>"
    stop_id = tokenizer.token_to_id(stop)
    assert stop_id is not None
    return Renderer(tokenizer, ChatTemplate(text, special), special, [stop_id])
