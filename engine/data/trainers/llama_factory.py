"""LLaMA-Factory's supervised fine-tuning.

Knows hiyouga/LLaMA-Factory@ff6d4d1 `src/llamafactory/data/{parser,converter}.py` and
`processor/supervised.py`. It is not installed here, so the rules are as read, not as tried.

Much depends on `dataset_info.json`. What is assumed is what its README gives for a file that
begins so: `alpaca` as it is by default, `sharegpt` as it is by default for `conversations`, and
for `messages` formatting `sharegpt` with `columns: {"messages": "messages"}` and the tags of
OpenAI's roles.
"""

from __future__ import annotations

from engine.data.trainers.base import (
    Facts,
    FileVerdict,
    Trainer,
    Value,
    conversation_key,
    flagged,
    kind,
    rule,
    turns_of,
)

_ODD = {"sharegpt": ("human", "observation"), "openai": ("user", "observation")}
_EVEN = {"sharegpt": ("gpt", "function_call"), "openai": ("assistant", "function_call")}
_TAGS = {"sharegpt": ("from", "value"), "openai": ("role", "content")}


def _formatting(first: Value) -> str:
    key = conversation_key(first)
    return {"messages": "openai", "conversations": "sharegpt"}.get(key or "", "alpaca")


def _turns(value: Value, formatting: str) -> list[Value]:
    """The turns after a leading system prompt."""
    turns = turns_of(value, "messages" if formatting == "openai" else "conversations")
    role = _TAGS[formatting][0]
    return turns[1:] if turns and turns[0].get(role) == "system" else turns


@rule("error", "give every row the columns of the first")
def turns_missing(value: Value, facts: Facts) -> str | None:
    """hiyouga/LLaMA-Factory@ff6d4d1 `data/converter.py` SharegptDatasetConverter:
    `len(example[messages])` of a column that is None where a row has none."""
    formatting = _formatting(facts.first or value)
    if formatting == "alpaca":
        return None
    key = "messages" if formatting == "openai" else "conversations"
    if isinstance(value.get(key), list):
        return None
    return f"`{key}` is {kind(value.get(key))}: TypeError"


@rule("error", "give every turn a role and a text, or name the keys in `tags`")
def tags_missing(value: Value, facts: Facts) -> str | None:
    """hiyouga/LLaMA-Factory@ff6d4d1 `data/converter.py`: `message[role_tag]` and
    `message[content_tag]` (an assistant turn with calls and no content too)."""
    formatting = _formatting(facts.first or value)
    if formatting == "alpaca":
        return None
    key = "messages" if formatting == "openai" else "conversations"
    for number, turn in enumerate(turns_of(value, key)):
        for tag in _TAGS[formatting]:
            if tag not in turn:
                return f"{key}.{number}: KeyError: '{tag}'"
        if not isinstance(turn[_TAGS[formatting][1]], str):
            found = kind(turn[_TAGS[formatting][1]])
            return f"{key}.{number}: the content is {found}, not text: TypeError"
    return None


@rule("drop", "let user and assistant take turns, the user first; merge or delete turns")
def invalid_role(value: Value, facts: Facts) -> str | None:
    """hiyouga/LLaMA-Factory@ff6d4d1 `data/converter.py`: `accept_tags[turn_idx % 2]`; a system
    turn counts only at the beginning."""
    formatting = _formatting(facts.first or value)
    if formatting == "alpaca":
        return None
    places = (_ODD[formatting], _EVEN[formatting])
    for number, turn in enumerate(_turns(value, formatting)):
        role = turn.get(_TAGS[formatting][0])
        if role not in places[number % 2]:
            return (
                f"turn {number + 1} has the role `{role}`, expected one of "
                f"{', '.join(places[number % 2])}: Invalid role tag. Skipping this abnormal example"
            )
    return None


@rule("drop", "end the row with the assistant's turn")
def invalid_count(value: Value, facts: Facts) -> str | None:
    """hiyouga/LLaMA-Factory@ff6d4d1 `data/converter.py`: an even count of turns, else "Invalid
    message count"; `processor/supervised.py`: "Dropped invalid example"."""
    formatting = _formatting(facts.first or value)
    if formatting == "alpaca":
        return None
    turns = _turns(value, formatting)
    if not turns:
        return "no turns: Dropped invalid example"
    if len(turns) % 2:
        return f"{len(turns)} turns: Invalid message count. Skipping this abnormal example"
    return None


@rule("drop", "give the row an `output`, or map the column in dataset_info.json")
def no_response(value: Value, facts: Facts) -> str | None:
    """hiyouga/LLaMA-Factory@ff6d4d1 `data/converter.py` AlpacaDatasetConverter (no text: no
    response) and `processor/supervised.py` (`len(response) != 1`: dropped)."""
    if _formatting(facts.first or value) == "alpaca" and not isinstance(value.get("output"), str):
        return f"`output` is {kind(value.get('output'))}: Dropped invalid example"
    return None


@rule("error", "write a list of [question, answer]")
def broken_history(value: Value, facts: Facts) -> str | None:
    """hiyouga/LLaMA-Factory@ff6d4d1 `data/converter.py`: `for old_prompt, old_response in …`."""
    history = value.get("history")
    if _formatting(facts.first or value) != "alpaca" or not isinstance(history, list):
        return None
    if all(isinstance(pair, list) and len(pair) == 2 for pair in history):
        return None
    return "a pair of `history` is not [question, answer]: ValueError"


@rule("altered", "give the row an `instruction`")
def no_instruction(value: Value, facts: Facts) -> str | None:
    """hiyouga/LLaMA-Factory@ff6d4d1 `data/converter.py`: the query is what there is of both."""
    if _formatting(facts.first or value) != "alpaca":
        return None
    if value.get("instruction") or value.get("input"):
        return None
    return "neither `instruction` nor `input`: the answer is trained on after an empty question"


@rule("altered", 'list it in `columns`, as "system": "system" and "tools": "tools"')
def column_not_listed(value: Value, _: Facts) -> str | None:
    """hiyouga/LLaMA-Factory@ff6d4d1 `data/parser.py` join: with `columns`, what is not listed is
    None; and the defaults name neither system, tools nor history."""
    names = ["system", "tools"] + (["history"] if "instruction" in value else [])
    lost = [name for name in names if value.get(name)]
    return f"{' and '.join(lost)} not read unless listed" if lost else None


@rule("altered", "use mask_history, or take turns out that must not be learned")
def flags_ignored(value: Value, _: Facts) -> str | None:
    """hiyouga/LLaMA-Factory@ff6d4d1 `processor/supervised.py`: every answer is trained on."""
    key = conversation_key(value)
    turns = turns_of(value, key) if key else []
    name = flagged(turns, "train", "weight", "training", "train_detail")
    return f"`{name}` of a turn is ignored: every answer is trained on" if name else None


@rule("altered", "use formatting openai, or write the calls into the content")
def calls_ignored(value: Value, _: Facts) -> str | None:
    """hiyouga/LLaMA-Factory@ff6d4d1 `data/converter.py` SharegptDatasetConverter reads role and
    content alone."""
    if any(turn.get("tool_calls") for turn in turns_of(value)):
        return "`tool_calls` are not read"
    return None


def remarks(first: Value) -> list[FileVerdict]:
    """What follows from the first row."""
    formatting = _formatting(first)
    name = "sharegpt" if formatting == "openai" else formatting
    said = [FileVerdict(0, "keep", "formatting", f"read with formatting: {name}", "")]
    if formatting == "openai":
        why = (
            "formatting openai instead puts 'detailed thinking off' in the place of a missing "
            "system prompt"
        )
        said.append(FileVerdict(0, "keep", "thinking", why, "use formatting sharegpt with tags"))
    return said


LLAMA_FACTORY = Trainer(
    "llama-factory",
    "LLaMA-Factory",
    "hiyouga/LLaMA-Factory@ff6d4d1",
    "dataset_info.json as its README has it for such a file",
    "arrow",
    (
        turns_missing,
        tags_missing,
        invalid_role,
        invalid_count,
        no_response,
        broken_history,
        no_instruction,
        column_not_listed,
        flags_ignored,
        calls_ignored,
    ),
    remarks,
)
