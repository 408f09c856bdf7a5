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
    """README.md with front matter: the base, its licence, how it was trained, how to use it."""
    base = public_name(source.base_ref)
    held = {"nf4": "NF4 (4 bit)"}.get(source.quantization or "", source.dtype)
    title = str(source.record.get("name") or base)
    lines = [*_front(source, base, kind), f"# {_plain(title)}", ""]
    if source.adapter:
        form = "A LoRA adapter for" if kind == "adapter" else "A LoRA adapter merged into"
        lines += [f"{form} `{base}`, trained while the base was held in {held}.", ""]
    else:
        lines += [f"A copy of `{base}`.", ""]
    said = {k: v for k, v in source.record.items() if v is not None and k != "name"}
    for heading in ("training", "checks"):
        rows = [
            (key.removeprefix("check "), value)
            for key, value in said.items()
            if key.startswith("check ") == (heading == "checks")
        ]
        if rows:
            lines += [f"| {heading} | |", "|---|---|"]
            lines += [f"| {_plain(k)} | {_plain(str(v))} |" for k, v in rows] + [""]
    if kind == "adapter":
        grown = (Path(source.adapter or "") / "added_tokens.json").is_file()
        lines += _loading(source, base, grown=grown)
    else:
        lines += [f"Weights: {type_name}, safetensors.", ""]
    lines += [
        "`workbench.json` names the hashes of base, adapter and data, every setting, and what was",
        "measured when this export was compared with the trained model.",
        "",
    ]
    return "\n".join(lines)


def _front(source: Source, base: str, kind: str) -> list[str]:
    """What hubs read."""
    front = [
        "---",
        f"base_model: {json.dumps(base)}",
        f"library_name: {'peft' if kind == 'adapter' else 'transformers'}",
        "pipeline_tag: text-generation",
        *_licence(Path(source.base)),
        "tags:",
        "- workbench",
    ]
    return [*front, *(["- lora"] if source.adapter else []), "---", ""]


def _licence(base: Path) -> list[str]:
    """The base's licence as its own card names it; it goes on to what is made of the base."""
    card = base / "README.md"
    text = card.read_text("utf-8", "replace") if card.is_file() else ""
    front = text.split("---\n")[1] if text.startswith("---\n") else ""
    found = {
        key: value.strip().strip("\"'")
        for key, colon, value in (line.partition(":") for line in front.splitlines())
        if colon and key in ("license", "license_name", "license_link") and value.strip()
    }
    if not found and any((base / name).is_file() for name in ("LICENSE", "LICENSE.txt")):
        found = {"license": "other", "license_name": "that-of-the-base"}
    return [f"{key}: {json.dumps(value)}" for key, value in found.items()]


def _loading(source: Source, base: str, *, grown: bool) -> list[str]:
    """How to load an adapter; `grown`: it trained tokens that its base does not have."""
    names = ["AutoModelForCausalLM", *(["AutoTokenizer"] if grown else [])]
    held = f'dtype="{source.dtype}"'
    config: list[str] = []
    if source.quantization == "nf4":
        names.append("BitsAndBytesConfig")
        held += ", quantization_config=held"
        config = [
            "held = BitsAndBytesConfig(",
            '    load_in_4bit=True, bnb_4bit_quant_type="nf4",',
            f"    bnb_4bit_use_double_quant={source.double_quant},",
            ")",
        ]
    lines = [
        "Load it with PEFT on the base it was trained on, held as in training:",
        "",
        "```python",
        "from peft import PeftModel",
        f"from transformers import {', '.join(names)}",
        "",
        *config,
        f"base = AutoModelForCausalLM.from_pretrained({json.dumps(base)}, {held})",
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
