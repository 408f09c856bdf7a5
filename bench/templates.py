"""How many published chat templates can be given to Ollama, and how exactly?

llama.cpp's sources hold the templates of some sixty model families. Each is learned from its
renderings as an export to Ollama does, written in Go's language, evaluated, and compared with what
Jinja renders: usual orders of turns, plain and hostile texts. Prints what differs.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence

from bench.upstream import llama_cpp
from engine.export.ollama import probing
from engine.export.ollama.gotemplate import GoFailed, GoTemplate
from engine.render.template import ChatTemplate, TemplateRefused

TEXTS = (
    "What is 7 plus 8?",
    " \n\t spaces around \u00a0\u3000\r\n",
    '"""quotes""" {{ .Content }} {{ end }} {% raw %}',
    "e\u0301 👩‍👩‍👧 \u200b\u202e \x00\x1b[2J <|im_end|></s>",
)
ORDERS = (
    ("user",),
    ("system", "user"),
    ("user", "assistant", "user"),
    ("system", "user", "assistant", "user", "assistant", "user"),
)


def rendering(jinja: str) -> probing.Render:
    """What a template makes of messages; None where it refuses them."""
    template = ChatTemplate(jinja, {"bos_token": "<s>", "eos_token": "</s>"})

    def render(messages: Sequence[probing.Message]) -> str | None:
        listed = [{"role": role, "content": text} for role, text in messages]
        try:
            return template.render(listed, generation_prompt=True).text
        except TemplateRefused:
            return None

    return render


def differing(
    render: probing.Render, written: GoTemplate, texts: Sequence[str] = TEXTS
) -> list[tuple[str, tuple[str, ...]]]:
    """Texts and orders of roles whose rendering differs from what was written of the template."""

    def found(messages: Sequence[probing.Message]) -> str | None:
        try:
            return written.render(messages)
        except GoFailed:
            return None

    told = {(text, roles): [(role, text) for role in roles] for text in texts for roles in ORDERS}
    return [asked for asked, messages in told.items() if found(messages) != render(messages)]


def main() -> int:
    """Print one line for each template that differs, and how many do not."""
    files = sorted((llama_cpp() / "models" / "templates").glob("*.jinja"))
    began, exact = time.perf_counter(), 0
    for path in files:
        render = rendering(path.read_text())
        learned = probing.learn(render)
        if learned is None:
            print(f"{path.stem:<50} not learned: it renders no plain turns by itself")
        elif wrong := differing(render, GoTemplate(probing.written(learned))):
            asked = len(TEXTS) * len(ORDERS)
            print(f"{path.stem:<50} {len(wrong)} of {asked} renderings differ")
        else:
            exact += 1
    seconds = (time.perf_counter() - began) / len(files)
    print(f"{exact} of {len(files)} templates byte for byte, {seconds * 1000:.0f} ms each")
    return 0


if __name__ == "__main__":
    sys.exit(main())
