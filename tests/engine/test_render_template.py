"""The renderer against transformers itself, and its masks against hand-made truth."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from jinja2.sandbox import ImmutableSandboxedEnvironment

from engine.data.rows import Turn, parse_row
from engine.render import Renderer, template
from store.errors import BadInput, Unsupported

TALK = [
    Turn("system", "Answer with one word."),
    Turn("user", "What colour is the sky?"),
    Turn("assistant", "Blue."),
    Turn("user", "And grass? ünïcödé 日本"),
    Turn("assistant", "Green."),
]

PLAIN = (
    "{{ bos_token }}{% for m in messages %}<|{{ m.role }}|>{{ m.content }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


def with_template(starter: Path, folder: Path, source: str) -> Renderer:
    """The starter's tokenizer under another chat template."""
    folder.mkdir()
    for name in ("tokenizer.json", "tokenizer_config.json", "generation_config.json"):
        shutil.copy(starter / name, folder / name)
    (folder / "chat_template.jinja").write_text(source)
    return Renderer.load(folder)


def trained_text(renderer: Renderer, turns: list[Turn]) -> list[str]:
    """The runs of trained tokens as text."""
    rendered = renderer.render(turns)
    runs: list[list[int]] = []
    before = 0
    for token_id, trained in zip(rendered.ids, rendered.mask, strict=True):
        if trained and not before:
            runs.append([])
        if trained:
            runs[-1].append(token_id)
        before = trained
    return [renderer.decode(run, special=True) for run in runs]


def test_ids_and_mask_are_those_of_transformers(starter: Path) -> None:
    from transformers import AutoTokenizer

    theirs = AutoTokenizer.from_pretrained(starter).apply_chat_template(
        [{"role": t.role, "content": t.text} for t in TALK],
        return_dict=True,
        return_assistant_tokens_mask=True,
    )
    ours = Renderer.load(starter).render(TALK)
    assert ours.ids == list(theirs["input_ids"])
    assert ours.mask == list(theirs["assistant_masks"])


def test_trained_tokens_are_the_answers_and_their_ends(starter: Path) -> None:
    renderer = Renderer.load(starter)
    assert trained_text(renderer, TALK) == ["Blue.<|end|>", "Green.<|end|>"]
    rendered = renderer.render(TALK)
    assert rendered.bos == 1
    assert rendered.turn_end_trained
    assert [span.role for span in rendered.spans] == [turn.role for turn in TALK]
    assert [span.trained for span in rendered.spans] == [False, False, True, False, True]
    assert "".join(rendered.tokens[s] for s in range(len(rendered.ids)) if rendered.mask[s])


def test_a_template_without_marks_gives_the_same_mask(starter: Path, tmp_path: Path) -> None:
    plain = with_template(starter, tmp_path / "plain", PLAIN)
    assert trained_text(plain, TALK) == ["Blue.<|end|>", "Green.<|end|>"]


def test_a_template_that_rewrites_earlier_turns_is_not_guessed(
    starter: Path, tmp_path: Path
) -> None:
    source = (
        "{% for m in messages %}{% if loop.last or m.role != 'assistant' %}{{ m.content }}"
        "{% endif %}<|end|>{% endfor %}"
    )
    odd = with_template(starter, tmp_path / "odd", source)
    assert trained_text(odd, TALK) == ["Green.<|end|>"]
    assert any("Turn 3" in n and "no mask can be told" in n for n in odd.render(TALK).notes)


def test_a_turn_can_be_left_untrained(starter: Path) -> None:
    turns = [*TALK[:2], Turn("assistant", "Blue.", train=False), *TALK[3:]]
    assert trained_text(Renderer.load(starter), turns) == ["Green.<|end|>"]


def test_cutting_is_counted_and_the_turn_end_is_lost(starter: Path) -> None:
    renderer = Renderer.load(starter)
    whole = renderer.render(TALK)
    cut = renderer.render(TALK, max_length=len(whole.ids) - 3)
    assert cut.cut == 3
    assert cut.ids == whole.ids[:-3]
    assert not cut.turn_end_trained


def test_a_role_the_template_refuses_names_the_line(starter: Path) -> None:
    raw = b'{"messages":[{"role":"wizard","content":"hi"},{"role":"assistant","content":"x"}]}'
    with pytest.raises(BadInput, match="line 7"):
        Renderer.load(starter).render_row(parse_row(7, raw))


def test_text_rows_train_everything(starter: Path) -> None:
    renderer = Renderer.load(starter)
    rendered = renderer.render_row(parse_row(1, b'{"text":"The sky is blue."}'))
    assert rendered.ids[-1] == renderer.eos_id
    assert all(rendered.mask)


def test_streamed_text_is_the_decoded_text(starter: Path) -> None:
    renderer = Renderer.load(starter)
    ids = renderer.encode("Grüße, 日本 and the fox 🦊.")
    decoder = renderer.stream_decoder()
    assert "".join(decoder.feed(i) for i in ids) == renderer.decode(ids)


def test_a_bomb_of_a_template_is_refused(starter: Path, tmp_path: Path) -> None:
    hostile = with_template(starter, tmp_path / "bad", "{{ ''.__class__.__mro__ }}")
    with pytest.raises(BadInput):
        hostile.render(TALK)
    with pytest.raises(BadInput, match="line 1"):
        with_template(starter, tmp_path / "broken", "{% for %}")


def test_a_template_that_never_ends_is_ended(
    starter: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(template, "RENDER_SECONDS", 0.05)
    inner = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"
    called = "{% macro f(n) %}{% for a in range(n) %}{{ f(n) }}{% endfor %}{% endmacro %}{{ f(2) }}"
    for source in (inner, called):
        with pytest.raises(BadInput, match="chat template"):
            with_template(starter, tmp_path / str(len(source)), source).render(TALK)


def test_what_loops_know_of_themselves_stays_so(starter: Path, tmp_path: Path) -> None:
    source = (
        "{% for m in messages if m.role != 'system' %}{{ loop.index }}/{{ loop.length }}"
        "{{ '!' if loop.last else loop.nextitem.role }}{% else %}none{% endfor %}"
        "{% for k, v in {'a': 1}.items() %}{{ k }}{{ v }}{% endfor %}"
        "{% for x in nothing %}x{% else %}empty{% endfor %}"
    )
    shown = with_template(starter, tmp_path / "loops", source).render(TALK).text
    plain = ImmutableSandboxedEnvironment().from_string(source)
    messages = [{"role": turn.role, "content": turn.text} for turn in TALK]
    assert shown == plain.render(messages=messages) != ""


@pytest.mark.parametrize(
    "source",
    [
        "{{ 1 / 0 }}",
        "{{ messages[99].content.x }}",
        "{{ [1].pop() + range(10 ** 9) | length }}",
        "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
        "{{ '%d' % 'x' }}",
        "{{ (10.0 ** 400) }}",
        "{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}",
    ],
)
def test_whatever_a_template_raises_is_its_own_fault(
    source: str, starter: Path, tmp_path: Path
) -> None:
    with pytest.raises(BadInput, match="chat template"):
        with_template(starter, tmp_path / "bad", source).render(TALK)


def test_a_folder_without_a_fast_tokenizer_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Unsupported, match=r"tokenizer\.json"):
        Renderer.load(tmp_path)
