"""Every shape of a row, from the exact key names of those who define it."""

from __future__ import annotations

import json

import pytest

from engine.data.rows import Row, Turn, parse_row
from engine.data.shapes.table import TABLE

Q, A, B, S = (
    Turn("user", "q"),
    Turn("assistant", "a"),
    Turn("assistant", "b"),
    Turn("system", "s"),
)
USER = {"role": "user", "content": "q"}
GOOD = {"role": "assistant", "content": "a"}
BAD = {"role": "assistant", "content": "b"}
SYSTEM = {"role": "system", "content": "s"}
HUMAN, GPT = {"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}


def read(value: object) -> Row:
    return parse_row(1, json.dumps(value).encode())


def fine(value: object) -> Row:
    row = read(value)
    assert row.error is None, row.error
    return row


CHATS = [
    ({"messages": [SYSTEM, USER, GOOD]}, "messages", "OpenAI chat: role, content"),
    ({"messages": [USER, GOOD], "system": "s"}, "messages", "OpenAI chat: role, content"),
    (
        {"conversations": [SYSTEM, USER, GOOD]},
        "messages",
        "OpenAI chat under `conversations`: role, content",
    ),
    (
        {"conversations": [HUMAN, GPT], "system": "s", "tools": ""},
        "sharegpt",
        "ShareGPT under `conversations`: from, value",
    ),
    (
        {"conversations": [{"from": "system", "value": "s"}, HUMAN, GPT], "system": "unused"},
        "sharegpt",
        "ShareGPT under `conversations`: from, value",
    ),
    (
        {"conversations": [{"role": "human", "value": "q"}, {"role": "gpt", "value": "a"}]}
        | {"system": "s"},
        "sharegpt",
        "ShareGPT under `conversations` with other names: role, value",
    ),
    (
        {"messages": [{"from": "user", "content": "q"}, {"from": "assistant", "content": "a"}]}
        | {"system": "s"},
        "sharegpt",
        "ShareGPT under `messages` with other names: from, content",
    ),
    (
        {"system": "s", "conversation": [{"human": "q", "assistant": "a"}]},
        "swift",
        "Swift ShareGPT under `conversation`: human, assistant",
    ),
    (
        {"instruction": "q", "input": "", "output": "a", "system": "s"},
        "alpaca",
        "Alpaca: instruction, output",
    ),
    (
        {"system_prompt": "s", "question": "q", "response": "a", "id": "x.1"},
        "question_answer",
        "OpenOrca: system_prompt, question, response",
    ),
]


@pytest.mark.parametrize(("value", "shape", "dialect"), CHATS)
def test_conversations(value: object, shape: str, dialect: str) -> None:
    row = fine(value)
    assert (row.shape, row.dialect, row.purpose) == (shape, dialect, "sft")
    assert row.turns == (S, Q, A)


NEAR_ALPACA = [
    ({"instruction": "q", "response": "a"}, "GPTeacher: instruction, response"),
    ({"question": "q", "answer": "a"}, "question and answer: question, answer"),
    ({"question": "q", "category": "c", "answer": "a"}, "question and answer: question, answer"),
    ({"prompt": "q", "generation": "a"}, "Metharme: prompt, generation"),
    ({"INSTRUCTION": "q", "RESPONSE": "a"}, "oasst: INSTRUCTION, RESPONSE"),
    ({"message_1": "q", "message_2": "a"}, "CAMEL: message_1, message_2"),
    ({"article": "q", "summary": "a"}, "summary: article, summary"),
    ({"query": "q", "response": "a"}, "Swift: query, response"),
    ({"prompt": "q", "response": "a"}, "prompt and response: prompt, response"),
    ({"question": "q", "completion": "a"}, "question and completion: question, completion"),
    ({"input": "q", "output": "a"}, "input and output: input, output"),
]


@pytest.mark.parametrize(("value", "dialect"), NEAR_ALPACA)
def test_a_question_and_its_answer(value: object, dialect: str) -> None:
    row = fine(value)
    assert (row.shape, row.dialect, row.turns) == ("question_answer", dialect, (Q, A))


def test_a_question_of_several_texts_and_earlier_exchanges() -> None:
    both = Turn("user", "c\nq")
    assert fine({"context": "c", "question": "q", "answer": "a"}).turns == (both, A)
    assert fine({"instruction": "c", "input": "q", "response": "a"}).turns == (both, A)
    asked = {"instruction": "c", "input": "q", "output": "a", "history": [["q", "b"]]}
    assert fine(asked).turns == (Q, B, both, A)
    assert fine({"query": "q", "response": "a", "history": []}).turns == (Q, A)


def test_prompts_completions_and_text() -> None:
    asked, said = Turn("user", "q", False), Turn("assistant", "a", True)
    assert fine({"prompt": "q", "completion": "a"}).turns == (asked, said)
    assert fine({"prompt": [USER], "completion": [GOOD]}).turns == (asked, said)
    silent = {**GOOD, "train": False}
    assert fine({"prompt": "q", "completion": [silent]}).turns[1].train is False
    alone = fine({"prompt": "q"})
    assert (alone.shape, alone.purpose, alone.turns, alone.prompt_turns) == (
        "prompt",
        "prompt",
        (Q,),
        1,
    )
    assert fine({"prompt": [SYSTEM, USER]}).turns == (S, Q)
    text = fine({"text": "t"})
    assert (text.shape, text.purpose, text.text, text.turns) == ("text", "text", "t", ())


CHOSEN, REJECTED = {"chosen": "a"}, {"rejected": "b"}
PAIR = {"chosen": "a", "rejected": "b"}
OBJECTS = {"chosen": GOOD, "rejected": BAD}
PREFERENCES = [
    ({"prompt": "q", **PAIR}, "TRL: prompt, chosen, rejected"),
    ({"prompt": [USER], "chosen": [GOOD], "rejected": [BAD]}, "TRL: prompt, chosen, rejected"),
    ({"chosen": [USER, GOOD], "rejected": [USER, BAD]}, "whole dialogues: chosen, rejected"),
    (
        {"prompt": "q", "chosen": [USER, GOOD], "rejected": [USER, BAD], "score_chosen": 9.5},
        "whole dialogues: chosen, rejected",
    ),
    ({"instruction": "q", "input": "", **PAIR}, "LLaMA-Factory: instruction, chosen, rejected"),
    (
        {
            "conversations": [HUMAN],
            "chosen": {"from": "gpt", "value": "a"},
            "rejected": {"from": "gpt", "value": "b"},
        },
        "LLaMA-Factory: conversations, chosen, rejected",
    ),
    (
        {"instruction": "q", "chosen_response": "a", "rejected_response": "b"},
        "Axolotl argilla: instruction, chosen_response, rejected_response",
    ),
    ({"question": "q", **PAIR}, "Axolotl intel: question, chosen, rejected"),
    ({"input": "q", **PAIR}, "Axolotl icr: input, chosen, rejected"),
    (
        {"messages": [USER], **OBJECTS},
        "Axolotl chat_template.default: messages, chosen, rejected",
    ),
    (
        {"prompt": "q", "answers": [{"answer": "c", "rank": 2}, {"answer": "a", "rank": 1}]}
        | {"answers": [{"answer": t, "rank": r} for t, r in (("c", 2), ("b", 3.0), ("a", 1))]},
        "Nectar: prompt, answers with ranks",
    ),
    ({"messages": [USER, GOOD], "rejected_message": BAD}, "OpenPipe: messages, rejected_message"),
    ({"messages": [USER, GOOD], "rejected_response": "b"}, "Swift: messages, rejected_response"),
    (
        {"messages": [USER, GOOD], "rejected_messages": [USER, BAD]},
        "Swift: messages, rejected_messages",
    ),
    (
        {
            "input": {"messages": [USER], "tools": [], "parallel_tool_calls": True},
            "preferred_output": [GOOD],
            "non_preferred_output": [BAD],
        },
        "OpenAI DPO: input, preferred_output, non_preferred_output",
    ),
]


@pytest.mark.parametrize(("value", "dialect"), PREFERENCES)
def test_preferences(value: object, dialect: str) -> None:
    row = fine(value)
    assert (row.dialect, row.purpose) == (dialect, "preference")
    assert (row.turns, row.prompt_turns, row.rejected) == ((Q, A), 1, (B,))
    assert (row.shape == "openai_preference") == ("OpenAI" in dialect)


def test_preferences_with_a_system_text_or_without_a_prompt() -> None:
    row = fine({"system": "s", "prompt": "q", **PAIR})
    assert row.dialect == "Axolotl prompt_pairs: system, prompt, chosen, rejected"
    assert (row.turns, row.prompt_turns) == ((S, Q, A), 2)
    row = fine({"system": "s", "chosen": [USER, GOOD], "rejected": [USER, BAD]})
    assert (row.turns, row.prompt_turns, row.rejected) == ((S, Q, A), 2, (B,))
    row = fine({"chosen": "The sky is blue.", "rejected": "The sky is green."})
    assert row.dialect == "TRL, the prompt implied: chosen, rejected"
    assert row.turns == (Turn("user", "The sky is"), Turn("assistant", " blue."))
    assert row.rejected == (Turn("assistant", " green."),)
    same = fine({"chosen": [USER, GOOD], "rejected": [USER, GOOD]})
    assert (same.prompt_turns, same.rejected) == (1, (A,))
    longer = fine({"chosen": [USER, GOOD, USER, GOOD], "rejected": [USER, BAD]})
    assert (longer.prompt_turns, longer.rejected) == (1, (B,))


UNPAIRED = [
    ({"prompt": "q", "completion": "a"}, "label", "TRL unpaired: prompt, completion, label"),
    ({"prompt": [USER], "completion": [GOOD]}, "label", "TRL unpaired: prompt, completion, label"),
    (
        {"instruction": "q", "completion": "a"},
        "label",
        "Axolotl KTO: instruction, completion, label",
    ),
    ({"question": "q", "completion": "a"}, "label", "Axolotl KTO: question, completion, label"),
    (
        {"instruction": "q", "output": "a"},
        "kto_tag",
        "LLaMA-Factory kto_tag on Alpaca: instruction, output",
    ),
    (
        {"conversations": [HUMAN, GPT]},
        "kto_tag",
        "LLaMA-Factory kto_tag on ShareGPT under `conversations`: from, value",
    ),
    ({"messages": [USER, GOOD]}, "label", "Swift label on OpenAI chat: role, content"),
]


@pytest.mark.parametrize(("value", "key", "dialect"), UNPAIRED)
@pytest.mark.parametrize("label", [True, False])
def test_an_answer_and_whether_it_is_good(
    value: dict[str, object], key: str, dialect: str, label: bool
) -> None:
    row = fine({**value, key: label})
    assert (row.shape, row.purpose, row.dialect) == ("unpaired", "unpaired", dialect)
    assert (row.turns, row.prompt_turns, row.label) == ((Q, A), 1, label)


def test_steps_tokens_and_segments() -> None:
    steps = fine({"prompt": "q", "completions": ["a", "b"], "labels": [True, False]})
    assert (steps.shape, steps.purpose) == ("stepwise", "stepwise")
    assert (steps.turns, steps.prompt_turns, steps.labels) == ((Q, A, B), 1, (1, 0))
    ids = fine({"input_ids": [5, 6, 7], "attention_mask": [1, 1, 1], "labels": [-100, 6, 7]})
    assert (ids.shape, ids.purpose) == ("pretokenized", "tokens")
    assert (ids.ids, ids.labels) == ((5, 6, 7), (-100, 6, 7))
    assert fine({"input_ids": [5, 6]}).labels == (5, 6)
    assert fine({"input_ids": [5, 6], "completion_mask": [0, 1]}).labels == (-100, 6)
    cut = fine({"segments": [{"label": False, "text": "x"}, {"label": True, "text": "y"}]})
    assert (cut.shape, cut.purpose) == ("segments", "segments")
    assert cut.segments == (("x", False), ("y", True))


CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"n": 1}'}}
CALLED = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": {"n": 1}}}
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}


def test_tools_calls_and_their_answers() -> None:
    row = fine(
        {
            "messages": [
                {"role": "developer", "content": "s"},
                USER,
                {"role": "assistant", "content": None, "tool_calls": [CALL]},
                {"role": "tool", "tool_call_id": "c1", "name": "f", "content": "2"},
                {"role": "assistant", "tool_calls": [CALLED, {"name": "g", "arguments": ""}]},
                {**GOOD, "weight": 0, "name": "bot"},
            ],
            "tools": [TOOL],
            "parallel_tool_calls": False,
        }
    )
    assert row.tools == (TOOL,)
    assert row.turns == (
        Turn("developer", "s"),
        Q,
        Turn("assistant", "", None, {"tool_calls": [CALLED]}),
        Turn("tool", "2", None, {"name": "f", "tool_call_id": "c1"}),
        Turn("assistant", "", None, {"tool_calls": [CALLED, {"name": "g", "arguments": {}}]}),
        Turn("assistant", "a", False, {"name": "bot"}),
    )
    legacy = {"role": "assistant", "content": None, "function_call": CALL["function"]}
    answer = {"role": "function", "name": "f", "content": "2"}
    turns = fine({"messages": [USER, legacy, answer]}).turns
    assert turns[1].extra == {"tool_calls": [{"type": "function", "function": CALLED["function"]}]}
    assert turns[2] == Turn("tool", "2", None, {"name": "f"})


def test_sharegpt_calls() -> None:
    call = {"from": "function_call", "value": '{"name": "f", "arguments": {"n": 1}}'}
    row = fine(
        {
            "conversations": [HUMAN, call, {"from": "observation", "value": "2"}, GPT],
            "tools": json.dumps([TOOL]),
        }
    )
    assert row.tools == (TOOL,)
    assert row.turns[1:3] == (
        Turn(
            "assistant",
            "",
            None,
            {"tool_calls": [{"type": "function", "function": CALLED["function"]}]},
        ),
        Turn("tool", "2"),
    )


def test_what_is_thought_and_what_is_trained() -> None:
    thinking = {**GOOD, "reasoning_content": "r", "thinking": "t", "train": True}
    row = fine({"messages": [USER, thinking]})
    assert row.turns[1] == Turn("assistant", "a", True, {"reasoning_content": "r", "thinking": "t"})
    parts = [
        {"type": "text", "text": "ab"},
        {"type": "text", "text": "cd", "train": True},
        {"type": "text", "text": "e", "weight": 0},
    ]
    row = fine({"messages": [{"role": "assistant", "content": parts}]})
    assert row.turns == (Turn("assistant", "abcde", flags=((2, 4, True), (4, 5, False))),)
    # Axolotl's own example: the last character of a range is in it.
    said = "I'm doing very well, thank you!"
    detail = [
        {"begin_offset": 0, "end_offset": 8, "train": False},
        {"begin_offset": 9, "end_offset": 18, "train": True},
        {"begin_offset": 19, "end_offset": 30, "train": False},
    ]
    turn = {"from": "assistant", "value": said, "train_detail": detail}
    row = fine({"conversations": [HUMAN, turn]})
    assert row.turns[1].flags == ((0, 9, False), (9, 19, True), (19, 31, False))


def test_what_is_no_text_is_seen_and_refused_by_name() -> None:
    image = {"type": "image_url", "image_url": {"url": "x.png"}}
    content = [{"type": "text", "text": "what is "}, image]
    row = read({"messages": [{"role": "user", "content": content}, GOOD]})
    assert row.error == (
        "line 1: messages.0.content.1: a part of type `image_url`; "
        "expected `text`, as no other is trained on"
    )
    assert row.turns == (Turn("user", "what is [image_url]"), A)
    row = read({"messages": [USER, GOOD], "images": ["x.png"]})
    assert row.error == "line 1: images: expected none, as only text is trained on"
    assert row.turns == (Q, A)
    assert fine({"messages": [USER, GOOD], "images": []}).turns == (Q, A)


def test_the_most_specific_shape_wins() -> None:
    chat = {"messages": [USER, GOOD]}
    every = {"text": "t", "prompt": "q", "completion": "a", "instruction": "q", "output": "a"}
    assert fine({**every, **chat}).shape == "messages"
    assert fine(every).shape == "alpaca"
    assert fine({"text": "t", "prompt": "q", "completion": "a"}).shape == "prompt_completion"
    assert fine({**every, **chat, **OBJECTS}).shape == "preference"
    assert fine({**every, "label": True}).shape == "unpaired"
    assert fine({**every, **chat, "input_ids": [1]}).shape == "pretokenized"
    # The order of keys does not matter, nor do keys that hold null.
    turned = dict(reversed(list({**every, **PAIR}.items())))
    assert fine(turned).dialect == fine({**every, **PAIR}).dialect
    nulls = {"chosen": None, "rejected": None, "label": None, "tools": None, "system": None}
    assert fine({**nulls, **chat}).turns == (Q, A)
    assert read({"messages": None}).error == (
        "line 1: messages: expected a list of turns, found null"
    )


def test_no_dialect_is_out_of_reach() -> None:
    """No dialect stands behind one that takes all of its rows."""
    for index, dialect in enumerate(TABLE):
        for earlier in TABLE[:index]:
            takes_all = earlier.fits is None and set(earlier.keys) <= set(dialect.keys)
            assert not takes_all, f"{dialect.name} is never found behind {earlier.name}"
