"""Modelfiles: templates learned from Jinja, evaluated as Go does, compared, and quoted."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import gguf
import pytest

from bench.templates import ORDERS, differing, rendering
from engine.data.rows import Turn
from engine.export.ollama import modelfile, probing
from engine.export.ollama.gotemplate import GoFailed, GoTemplate, literal, printable
from engine.export.proof.samples import Sample, held_out, shipped
from engine.export.stages import Source
from engine.render.renderer import Renderer

# Templates in the shapes of well-known families.
CHATML = (
    "{%- if messages[0].role != 'system' %}{{ '<|im_start|>system\nBe kind.<|im_end|>\n' }}"
    "{%- endif %}{%- for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + "
    "'<|im_end|>\n' }}{%- endfor %}{%- if add_generation_prompt %}"
    "{{ '<|im_start|>assistant\n' }}{%- endif %}"
)
TRIMMED = (
    "{{ bos_token }}{% for m in messages %}{{ '<|start_header_id|>' + m.role + "
    "'<|end_header_id|>\n\n' + m.content | trim + '<|eot_id|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}"
    "{% endif %}"
)
FOLDED = (
    "{% if messages[0].role == 'system' %}{% set system = '<<SYS>>\n' + messages[0].content + "
    "'\n<</SYS>>\n\n' %}{% set loop_messages = messages[1:] %}{% else %}{% set system = '' %}"
    "{% set loop_messages = messages %}{% endif %}{% for m in loop_messages %}"
    "{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('order') }}{% endif %}"
    "{% if m.role == 'user' %}{{ bos_token + '[INST] ' + (system if loop.first else '') + "
    "m.content.strip() + ' [/INST]' }}{% else %}{{ ' ' + m.content.strip() + ' ' + eos_token }}"
    "{% endif %}{% endfor %}"
)
LATE = (
    "{{ bos_token }}{% if messages[0].role == 'system' %}{% set system = messages[0].content %}"
    "{% set rest = messages[1:] %}{% else %}{% set rest = messages %}{% endif %}"
    "{% for m in rest %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('order') }}{% endif %}{% if m.role == 'user' %}{{ '[INST]' }}"
    "{% if loop.last and system is defined %}{{ system + '\n\n' }}{% endif %}"
    "{{ m.content + '[/INST]' }}{% else %}{{ m.content + eos_token }}{% endif %}{% endfor %}"
)
MIRRORED = "{% for m in messages %}{{ m.content | reverse }}{% endfor %}"
HOSTILE = (
    "plain",
    "\n\u3000 around\u00a0\t",
    '{{ .Content }} {{ end }} """',
    "e\u0301 👩‍👩‍👧 \u200b\x00",
)


@pytest.mark.parametrize("jinja", [CHATML, TRIMMED, FOLDED, LATE])
def test_what_is_learned_renders_as_the_template_does(jinja: str) -> None:
    render = rendering(jinja)
    learned = probing.learn(render)
    assert learned is not None
    written = GoTemplate(probing.written(learned))
    assert differing(render, written, HOSTILE) == []
    assert len({render([(role, "a") for role in roles]) for roles in ORDERS} - {None}) == 4
    refused = [("user", "a"), ("tool", "b")]
    with pytest.raises(GoFailed, match="no place for this turn"):
        written.render(refused)


def test_the_evaluator_prints_what_go_prints() -> None:
    """The second line is what Go's text/template with Ollama's messages printed for the first."""
    source = (
        '{{ define "cut" }}{{ if and (ge (len .) 2) (eq (slice . 0 2) "\\u00e9" "xx") }}'
        '{{ template "cut" (slice . 2) }}{{ else }}<{{ . }}>{{ end }}{{ end }}{{ $n := "" }}'
        '{{ range $i, $_ := .Messages }}{{ if or (ne $i 0) (eq $.System "") }}{{ $n }};{{ end }}'
        '{{ template "cut" .Content }}{{ $n = .Role }}{{ end }}{{ "\\u007b\\u0022" }}'
    )
    printed = '<b>system;<a\n\nxx>user;<c>assistant;<\ud7ff>{"'
    messages = [("system", "b"), ("user", "ééa"), ("user", "xx"), ("assistant", "c")]
    assert GoTemplate(source).render([*messages, ("tool", "xx\ud7ff")]) == printed


def _values(modelfile: str) -> dict[str, list[str]]:
    """Commands as Ollama's parser reads them: three quotes around, unprintable runes dropped."""
    found: dict[str, list[str]] = {}
    rest = "".join(c for c in modelfile if printable(c) or c in "\n\t\r")
    while rest:
        line, _, after = rest.partition("\n")
        if '"""' not in line or line.startswith("#"):
            name, _, value = line.partition(" ")
            rest = after
        else:
            name, _, quoted = rest.partition(' """')
            value, _, rest = quoted.partition('"""')
            assert rest[:1] in ("\n", "")
        found.setdefault(name, []).append(value)
    return found


def test_an_ollama_folder(starter: Path, tmp_path: Path) -> None:
    said = 'Be "brief".\n{{ .System }} 中文'
    rows = [[{"role": "system", "content": said}, {"role": "user", "content": text}, _ANSWER]
            for text in HOSTILE]  # fmt: skip
    chats = tmp_path / "eval.jsonl"
    chats.write_text("".join(json.dumps({"messages": row}) + "\n" for row in rows))
    (tmp_path / "train.jsonl").write_text(chats.read_text())
    renderer = Renderer.load(starter)
    source = Source("run:1", str(starter), "starter", chats=str(chats), record={"name": "a\x1b\nb"})
    stage = modelfile.write_ollama(tmp_path, source, renderer, held_out(renderer, chats), "q8_0")

    assert (stage.name, stage.state) == ("modelfile", "pass"), stage.text
    assert stage.numbers == {"conversations": 4.0, "different": 0.0}
    template = (tmp_path / "chat_template.jinja").read_bytes()
    assert template == (starter / "chat_template.jinja").read_bytes()
    values = _values((tmp_path / "Modelfile").read_text())
    assert values["FROM"] == ["./model.gguf"]
    assert values["SYSTEM"] == [said]
    assert [v for v in values["PARAMETER"] if v.startswith("temperature")] == ["temperature 0"]
    assert values["PARAMETER stop"] == ["<|end|>"]
    assert "# verified: 4 conversations" in (tmp_path / "Modelfile").read_text()
    [source_text] = values["TEMPLATE"]
    turns = [Turn("user", HOSTILE[2]), Turn("assistant", "x"), Turn("user", "y")]
    expected = renderer.render(turns, generation_prompt=True, spans=False).text
    assert GoTemplate(source_text).render([(t.role, t.text) for t in turns]) == expected
    assert "ollama create a-b:q8_0 -f Modelfile" in (tmp_path / "README.md").read_text()


_ANSWER = {"role": "assistant", "content": "Yes."}


def _folder(starter: Path, target: Path, jinja: str) -> Renderer:
    shutil.copytree(starter, target)
    (target / "chat_template.jinja").write_text(jinja)
    return Renderer.load(target)


def test_what_cannot_be_rendered_the_same_is_marked(starter: Path, tmp_path: Path) -> None:
    mirrored = _folder(starter, tmp_path / "mirrored", MIRRORED)
    found = modelfile.template_for(mirrored, shipped(mirrored))
    assert found.source is None
    assert not found.verified
    source = Source("m", str(tmp_path / "mirrored"), "m")
    text = modelfile.written(source, mirrored, found)
    assert "# unverified: no template" in text
    assert "TEMPLATE" not in text.split("FROM")[1]

    # Neighbours do not tell: every second question is written otherwise.
    odd = CHATML.replace("m.content +", "('!' if loop.index == 3 else '') + m.content +")
    renderer = _folder(starter, tmp_path / "odd", odd)
    turns = tuple(Turn(role, "a") for role in ("user", "assistant", "user"))
    samples = [Sample(turns[:1], "", (), ()), Sample((Turn("system", "s"), *turns), "", (), ())]
    found = modelfile.template_for(renderer, samples)
    assert (found.conversations, found.different, found.verified) == (2, 1, False)
    stage = modelfile.write_ollama(tmp_path, source, renderer, samples, "f16")
    assert stage.state == "warn"
    text = (tmp_path / "Modelfile").read_text()
    assert "# unverified: 1 of 2 conversations differ; first: " in text
    assert " instead of '!a<|im_end|>" in text


def test_what_a_user_must_know(starter: Path, tmp_path: Path) -> None:
    chats = tmp_path / "eval.jsonl"
    row = {"messages": [{"role": "user", "content": "a"}, _ANSWER], "tools": [{"type": "function"}]}
    chats.write_text(json.dumps(row) + "\n{broken\n")
    dated = "{{ strftime_now('%Y') }}" + CHATML
    renderer = _folder(starter, tmp_path / "dated", dated)
    found = modelfile.template_for(renderer, held_out(renderer, chats), chats)
    assert found.verified
    assert [caution.split(":")[0].split(";")[0] for caution in found.cautions] == [
        "The training had tools",
        "The trained template writes today's date",
    ]
    row = {"messages": [{"role": "system", "content": 'a """'}, *row["messages"]]}
    chats.write_text(json.dumps(row) + "\n")
    found = modelfile.template_for(renderer, held_out(renderer, chats), chats)
    assert "cannot hold the system text" in found.cautions[0]
    source = Source("m", str(tmp_path / "dated"), "m", chats=str(chats))
    assert "SYSTEM" not in _values(modelfile.written(source, renderer, found))
    (tmp_path / "dated" / "chat_template.jinja").unlink()
    bare = modelfile.template_for(Renderer.load(tmp_path / "dated"), [])
    assert (bare.source, bare.verified) == ("{{ .Prompt }}", True)


def test_a_begin_token_is_written_once(starter: Path, tmp_path: Path) -> None:
    """Ollama puts it there by itself where the tokenizer does for plain text."""
    path = tmp_path / "model"
    shutil.copytree(starter, path)
    data = json.loads((path / "tokenizer.json").read_text())
    begin = {"SpecialToken": {"id": "<|bos|>", "type_id": 0}}
    text = {"Sequence": {"id": "A", "type_id": 0}}
    data["post_processor"] = {
        "type": "TemplateProcessing",
        "single": [begin, text],
        "pair": [text, {"Sequence": {"id": "B", "type_id": 0}}],
        "special_tokens": {"<|bos|>": {"id": "<|bos|>", "ids": [1], "tokens": ["<|bos|>"]}},
    }
    (path / "tokenizer.json").write_text(json.dumps(data))
    renderer = Renderer.load(path)
    found = modelfile.template_for(renderer, shipped(renderer))
    assert found.verified
    assert not found.cautions
    assert found.source is not None
    assert "<|bos|>" not in found.source

    # Our files do not ask for what training did not have; those of others may.
    (path / "chat_template.jinja").write_text(CHATML)
    bare = Renderer.load(path)
    assert modelfile.template_for(bare, shipped(bare)).cautions == ()
    writer = gguf.GGUFWriter(tmp_path / "model.gguf", "llama")
    writer.add_add_bos_token(True)
    writer.add_add_eos_token(True)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    found = modelfile.template_for(bare, shipped(bare), file=tmp_path / "model.gguf")
    assert found.verified
    assert found.cautions == (
        "Ollama puts <|bos|> before every prompt; the trained template does not.",
        "Ollama puts an end token after every prompt; the trained template does not.",
    )


def test_literals_survive_a_modelfile() -> None:
    for text in ('a"""b', "{{", "}} {", "\u200bx\x00", "\u3000", "中", "tab\t\n", "\r\n", '"'):
        written = literal(text)
        assert GoTemplate(written).render([]) == text
        assert '"""' not in written
        assert _values(f'TEMPLATE """{written}"""')["TEMPLATE"] == [written]
