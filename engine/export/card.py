"""The model card of an exported adapter or merged model, written from the run's record.

Knows Markdown and the keys that hubs read. Does not know files of weights.
"""

from __future__ import annotations

import json
from pathlib import Path

from engine.export.stages import Source


def public_name(base_ref: str) -> str:
    """A base's name without anything about this machine: `org/name`, `starter`, a folder's name."""
    name = base_ref.removeprefix("hub:")
    return Path(name).name if Path(name).is_absolute() else name


def model_card(source: Source, kind: str, type_name: str) -> str:
    """README.md with front matter: the base, how it was trained and held, how to use it."""
    base = public_name(source.base_ref)
    library = "peft" if kind == "adapter" else "transformers"
    held = {"nf4": "NF4 (4 bit)"}.get(source.quantization or "", source.dtype)
    front = [
        "---",
        f"base_model: {json.dumps(base)}",
        f"library_name: {library}",
        "tags:",
        "- workbench",
    ]
    front += ["- lora"] if source.adapter else []
    front += ["---", ""]
    title = str(source.record.get("name") or base)
    lines = [f"# {_plain(title)}", ""]
    if source.adapter:
        form = "A LoRA adapter for" if kind == "adapter" else "A LoRA adapter merged into"
        lines += [f"{form} `{base}`, trained while the base was held in {held}.", ""]
    else:
        lines += [f"A copy of `{base}`.", ""]
    rows = [(k, v) for k, v in source.record.items() if v is not None and k != "name"]
    if rows:
        lines += ["| training | |", "|---|---|"]
        lines += [f"| {_plain(k)} | {_plain(str(v))} |" for k, v in rows] + [""]
    if kind == "adapter":
        grown = (Path(source.adapter or "") / "added_tokens.json").is_file()
        lines += _loading(base, grown=grown)
    else:
        lines += [f"Weights: {type_name}, safetensors.", ""]
    return "\n".join(front + lines)


def _loading(base: str, *, grown: bool) -> list[str]:
    """How to load an adapter; `grown`: it trained tokens that its base does not have."""
    lines = [
        "Load it with PEFT on the base it was trained on:",
        "",
        "```python",
        "from peft import PeftModel",
        f"from transformers import AutoModelForCausalLM{', AutoTokenizer' if grown else ''}",
        "",
        f"base = AutoModelForCausalLM.from_pretrained({json.dumps(base)})",
    ]
    if grown:
        lines += [
            'tokenizer = AutoTokenizer.from_pretrained("this-folder")',
            "if len(tokenizer) > base.get_input_embeddings().num_embeddings:",
            "    base.resize_token_embeddings(len(tokenizer))",
        ]
    return [*lines, 'model = PeftModel.from_pretrained(base, "this-folder")', "```", ""]


def _plain(text: str) -> str:
    """One line without table marks or markup."""
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;").replace("`", "'")
