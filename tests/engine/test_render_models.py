"""Masks of published templates: against TRL's marked variants of them, and by hand."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest

from engine.data.rows import Row, Turn
from engine.render import Compact, Rendered, Renderer
from store.errors import BadInput
from tests.engine.chat_templates import SHIPPED, STOPS, renderer

ASK = Turn("user", "What colour is the sky?")
BLUE = Turn("assistant", "Blue. 日本 🦊")
TALK = [ASK, BLUE, Turn("user", "And grass?"), Turn("assistant", "Green,\n\nof course.")]
TOOLS: tuple[dict[str, object], ...] = (
    {
        "type": "function",
        "function": {
            "name": "paint",
            "description": "Paints.",
            "parameters": {"type": "object", "properties": {"c": {"type": "string"}}},
        },
    },
)
CALL = {
    "type": "function",
    "id": "abcdefghi",
    "function": {"name": "paint", "arguments": {"c": "red"}},
}
CALLING = [
    ASK,
    Turn("assistant", "", None, {"tool_calls": [CALL]}),
    Turn("tool", "done", None, {"name": "paint", "tool_call_id": "abcdefghi"}),
    Turn("assistant", "It is red."),
]


def runs(
    model: Renderer, turns: Sequence[Turn], tools: Sequence[dict[str, object]] = ()
) -> list[str]:
    """The stretches of trained tokens as text."""
    return of(model, model.render(turns, tools=tools))


def of(model: Renderer, rendered: Rendered) -> list[str]:
    found: list[list[int]] = []
    before = 0
    for token, trained in zip(rendered.ids, rendered.mask, strict=True):
        if trained and not before:
            found.append([])
        if trained:
            found[-1].append(token)
        before = trained
    return [model.decode(ids, special=True) for ids in found]


def said(text: str) -> str:
    """A trained stretch without what templates put around an answer."""
    return text.replace("<think>", "").replace("</think>", "").strip()


@pytest.mark.parametrize("name", sorted(STOPS))
def test_answers_and_their_ends_are_trained_and_nothing_else(name: str) -> None:
    model = renderer(name)
    rendered = model.render(TALK)
    stop = STOPS[name]
    trained = [said(text) for text in of(model, rendered)]
    assert [text.removesuffix(stop).rstrip() for text in trained] == [BLUE.text, TALK[3].text]
    assert all(text.endswith(stop) for text in trained)
    assert rendered.turn_end_trained
    assert [span.role for span in rendered.spans] == [turn.role for turn in TALK]
    assert [span.trained for span in rendered.spans] == [False, True, False, True]


@pytest.mark.parametrize(
    "name", [n for n in sorted(STOPS) if (SHIPPED / f"{n}_training.jinja").exists()]
)
def test_differences_give_what_marks_give(name: str) -> None:
    """TRL's variant with marks trains the same ids, but for blanks around an answer."""
    plain, marked = renderer(name), renderer(f"{name}_training")
    for turns in (TALK[:2], TALK):
        ours, theirs = plain.render(turns), marked.render(turns)
        if ours.text != theirs.text:
            continue
        extra = {
            theirs.tokens[i] for i in range(len(ours.ids)) if theirs.mask[i] and not ours.mask[i]
        }
        assert ours.ids == theirs.ids
        assert all(a <= b for a, b in zip(ours.mask, theirs.mask, strict=True))
        assert {t.strip() for t in extra} <= {"", "<|endoftext|>", "<think>"} or "deepseek" in name


def test_what_a_template_writes_only_for_the_last_turn_is_told_apart() -> None:
    model = renderer("qwen3")
    rendered = model.render(TALK)
    first, second = of(model, rendered)
    assert first == BLUE.text + "<|im_end|>"
    assert second.startswith("<think>\n\n</think>\n\nGreen")
    assert any("Turn 2" in note and "once another turn follows" in note for note in rendered.notes)


@pytest.mark.parametrize("inside", [True, False])
def test_reasoning_that_is_dropped_later_is_not_trained_in_halves(inside: bool) -> None:
    thought = (
        Turn("assistant", "<think>\nhm\n</think>\n\nBlue.")
        if inside
        else Turn("assistant", "Blue.", None, {"reasoning_content": "hm"})
    )
    qwen = renderer("qwen3")
    assert runs(qwen, [ASK, thought]) == ["<think>\nhm\n</think>\n\nBlue.<|im_end|>"]
    rendered = qwen.render([ASK, thought, *TALK[2:]])
    assert [said(text).removesuffix("<|im_end|>") for text in of(qwen, rendered)] == [TALK[3].text]
    assert any("Turn 2" in note and "so it is not trained" in note for note in rendered.notes)


@pytest.mark.parametrize("name", ["qwen2_5", "qwen3", "qwen3_instruct_2507", "llama3_1", "lfm2_v2"])
def test_tools_and_calls_reach_the_template(name: str) -> None:
    model = renderer(name)
    rendered = model.render(CALLING, tools=TOOLS)
    assert "Paints." in rendered.text
    first, second = of(model, rendered)
    assert "paint" in first and "red" in first and first.endswith(STOPS[name])
    assert said(second) == f"It is red.{STOPS[name]}"
    assert not any("left out" in note for note in rendered.notes)


def test_tools_that_a_template_drops_are_named() -> None:
    rendered = renderer("chatml").render(CALLING, tools=TOOLS)
    assert any("no place for tools" in note for note in rendered.notes)
    assert any("no place for tool calls" in note for note in rendered.notes)


def test_arguments_become_text_for_templates_that_join_them() -> None:
    source = (
        "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}{% for c in m.tool_calls or [] %}"
        "{{ '[' + c.function.name + ' ' + c.function.arguments + ']' }}{% endfor %}</s>"
        "{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"
    )
    assert runs(renderer("zephyr", source), CALLING, TOOLS) == [
        '[paint {"c": "red"}]</s>',
        "It is red.</s>",
    ]


@pytest.mark.parametrize("name", ["qwen3", "phi3", "llama2", "chatml", "qwen2_5_training"])
def test_turns_can_be_chosen_one_by_one(name: str) -> None:
    full = renderer(name)
    left = [ASK, Turn("assistant", BLUE.text, train=False), *TALK[2:]]
    assert [said(text)[:5] for text in runs(full, left)] == ["Green"]
    asked = [Turn("user", ASK.text, train=True), *left[1:3], Turn("assistant", "No", train=False)]
    (question,) = runs(full, asked)
    assert question.strip().startswith(ASK.text)


@pytest.mark.parametrize("name", ["qwen3", "phi3", "llama2", "chatml", "qwen2_5_training"])
def test_parts_of_a_turn_are_trained_as_the_file_says(name: str) -> None:
    words = "One. Two. Three."
    turns = [ASK, Turn("assistant", words, None, {}, ((4, 9, False),)), *TALK[2:]]
    trained = [said(text) for text in runs(renderer(name), turns)]
    assert trained[0] == "One." and trained[1].startswith("Three.")
    only = [ASK, Turn("assistant", words, False, {}, ((4, 9, True),))]
    assert [text.strip() for text in runs(renderer(name), only)] == ["Two."]


@pytest.mark.parametrize("name", sorted(STOPS))
def test_many_rows_at_once_are_each_row_alone(name: str) -> None:
    """Also the mask by the plain rule: a token is trained where its first character is."""
    draw = random.Random(len(name))
    pieces = ["Blue", " ", "\n", "日本", "🦊", "é", "<", "|", "the sky is", "  ", "\t", "0", "</s>"]

    def text() -> str:
        return "".join(draw.choices(pieces, k=draw.randint(1, 12)))

    rows: list[Row] = []
    for number in range(1, 25):
        turns = tuple(
            Turn(role, text(), draw.choice([None, None, True, False]))
            for _ in range(draw.randint(1, 3))
            for role in ("user", "assistant")
        )
        rows.append(Row(number, b"", "messages", turns, None))
    rows.append(Row(30, b"", "text", (), None, text(), purpose="text"))
    rows.append(Row(31, b"", "messages", (), "line 31: broken"))
    model = renderer(name)
    _same(model, rows)


def _same(model: Renderer, rows: Sequence[Row]) -> None:
    for row, found in zip(rows, model.render_rows(rows, details=True), strict=True):
        try:
            alone = model.render_row(row)
        except BadInput as error:
            assert isinstance(found, BadInput)
            assert found.message == error.message
            continue
        assert isinstance(found, Compact)
        assert (found.ids, found.mask()) == (alone.ids, alone.mask)
        assert found.turn_end_trained == alone.turn_end_trained
        assert found.trained(7) == sum(alone.mask[:7])
        assert found.bos == alone.bos


def test_ids_labels_and_segments_go_straight_through(starter: object) -> None:
    model = renderer("chatml")
    ids = tuple(model.encode("Hello sky<|im_end|>"))
    labels = (-100, *ids[1:])
    row = Row(3, b"", "pretokenized", (), None, purpose="tokens", ids=ids, labels=labels)
    rendered = model.render_row(row)
    assert tuple(rendered.ids) == ids
    assert rendered.mask == [0] + [1] * (len(ids) - 1)
    assert rendered.turn_end_trained
    bad = Row(3, b"", "pretokenized", (), None, purpose="tokens", ids=ids, labels=(1, *ids[1:]))
    with pytest.raises(BadInput, match=r"line 3: labels\.0: 1; expected"):
        model.render_row(bad)
    foreign = Row(3, b"", "pretokenized", (), None, purpose="tokens", ids=(10**6,))
    with pytest.raises(BadInput, match=r"line 3: input_ids\.0: 1000000"):
        model.render_row(foreign)
    segments = (("Ask. ", False), ("Say.<|im_end|>", True))
    row = Row(4, b"", "segments", (), None, purpose="segments", segments=segments)
    rendered = model.render_row(row)
    assert rendered.ids == model.encode("Ask. ") + model.encode("Say.<|im_end|>")
    assert of(model, rendered) == ["Say.<|im_end|>"]
    _same(model, [row])


@pytest.mark.parametrize("purpose", ["preference", "unpaired", "stepwise", "prompt"])
def test_rows_for_something_else_are_refused_in_plain_words(purpose: str) -> None:
    row = Row(7, b"", "preference", (ASK, BLUE), None, purpose=purpose)  # type: ignore[arg-type]
    with pytest.raises(BadInput, match=r"^line 7: ") as caught:
        renderer("chatml").render_row(row)
    assert caught.value.hint


def test_cut_at_is_the_first_id_that_is_gone() -> None:
    model = renderer("chatml")
    row = Row(1, b"", "messages", tuple(TALK), None)
    whole = model.render_row(row)
    assert whole.cut_at is None
    cut = model.render_row(row, max_length=9)
    assert cut.cut_at == 9 == len(cut.ids) == len(whole.ids) - cut.cut


@pytest.mark.parametrize("name", ["chatml", "phi3", "qwen3", "qwen2_5_training"])
def test_a_conversation_without_end_is_told_all_the_same(name: str) -> None:
    """By prefixes this would render two million messages."""
    turns = [
        turn
        for n in range(1500)
        for turn in (Turn("user", f"ask {n}"), Turn("assistant", f"say {n}"))
    ]
    model = renderer(name)
    (found,) = model.render_rows([Row(1, b"", "messages", tuple(turns), None)], details=True)
    assert isinstance(found, Compact)
    trained = [said(model.decode(found.ids[a:b], special=True)) for a, b in found.runs]
    stop = STOPS[name.removesuffix("_training")]
    assert trained == [f"say {n}{stop}" for n in range(1500)]
    assert found.lost == ()
    assert len(model.render(turns[:500]).spans) == 500


@pytest.mark.parametrize("name", ["chatml", "phi3", "qwen3", "llama2"])
@pytest.mark.parametrize("filler", ["a", "<|im_end|>", "\n", "<think>"])
def test_an_answer_of_one_thing_over_and_over_holds_nothing_up(name: str, filler: str) -> None:
    text = filler * (300_000 // len(filler)) + "."
    turns = [ASK, Turn("assistant", text), *TALK[2:]]
    rendered = renderer(name).render(turns)
    assert len(rendered.ids) == len(rendered.mask) == len(rendered.tokens)
    assert rendered.trained_tokens > 5
