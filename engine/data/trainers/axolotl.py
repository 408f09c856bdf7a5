"""Axolotl's supervised fine-tuning.

Knows axolotl-ai-cloud/axolotl@067b021 `src/axolotl/prompt_strategies/chat_template.py` (the type
`chat_template`) and the filters that follow it. It is not installed here, so the rules are as
read, not as tried.
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

_TRAINED = ("assistant", "gpt")


def _type(first: Value) -> str:
    """Which `type` a person would have to choose for a file that begins so."""
    if "input_ids" in first:
        return "pretokenized"
    if "segments" in first:
        return "input_output"
    if conversation_key(first):
        return "chat_template"
    if "instruction" in first:
        return "alpaca"
    return "completion" if "text" in first else "none"


@rule("error", "workbench data convert --to messages, and type: chat_template")
def no_type(value: Value, facts: Facts) -> str | None:
    """axolotl-ai-cloud/axolotl@067b021 `docs/dataset-formats`: no type of SFT reads such a row."""
    if _type(facts.first or value) == "none":
        return "no dataset type reads these columns as they are"
    return None


@rule("error", "delete the row, or give it turns under the same key as the others")
def messages_null(value: Value, facts: Facts) -> str | None:
    """axolotl-ai-cloud/axolotl@067b021 `prompt_strategies/chat_template.py` _get_messages,
    get_conversation_thread (`messages[0]`)."""
    if _type(facts.first or value) != "chat_template":
        return None
    key = conversation_key(facts.first or value) or "messages"
    turns = value.get(key)
    if turns is None:
        return f"ValueError: Messages is null. Please check `field_messages` ({key})"
    if not isinstance(turns, list):
        return f"ValueError: Unknown messages format ({kind(turns)})"
    return None if turns else f"`{key}` is an empty list: IndexError: list index out of range"


@rule("error", "give every row the keys of the first")
def column_missing(value: Value, facts: Facts) -> str | None:
    """axolotl-ai-cloud/axolotl@067b021 `prompt_tokenizers.py`, `prompt_strategies/`: `row[key]`."""
    needed = {
        "alpaca": ("instruction", "output"),
        "completion": ("text",),
        "input_output": ("segments",),
    }.get(_type(facts.first or value), ())
    for key in needed:
        if value.get(key) is None:
            return f"`{key}` is missing: KeyError or TypeError"
    return None


@rule("error", "write the arguments as JSON, or as an object")
def broken_arguments(value: Value, _: Facts) -> str | None:
    """axolotl-ai-cloud/axolotl@067b021 `prompt_strategies/chat_template.py` transform_message:
    json.loads of `arguments`."""
    import msgspec

    for turn in turns_of(value):
        calls = turn.get("tool_calls")
        for call in calls if isinstance(calls, list) else ():
            function = call.get("function") if isinstance(call, dict) else None
            arguments = function.get("arguments") if isinstance(function, dict) else None
            if isinstance(arguments, str):
                try:
                    msgspec.json.decode(arguments)
                except msgspec.DecodeError:
                    return "tool_calls arguments are not JSON: JSONDecodeError"
    return None


@rule("error", "write `tools` as a list of objects")
def tools_format(value: Value, _: Facts) -> str | None:
    """axolotl-ai-cloud/axolotl@067b021 `prompt_strategies/chat_template.py` _get_tools."""
    tools = value.get("tools")
    if tools is None or isinstance(tools, list):
        return None
    return f"ValueError: Unknown tools format ({kind(tools)}). Please convert it into a list[dict]"


@rule("drop", "add an assistant turn, or set roles_to_train")
def nothing_to_train(value: Value, facts: Facts) -> str | None:
    """axolotl-ai-cloud/axolotl@067b021 `utils/trainer.py` drop_no_trainable_tokens, where no turn
    has a role of roles_to_train ([assistant])."""
    if _type(facts.first or value) != "chat_template":
        return None
    turns = turns_of(value, conversation_key(value) or "messages")
    if any(turn.get("role", turn.get("from")) in _TRAINED for turn in turns):
        return None
    return "no assistant turn: dropped, Zero Trainable Tokens"


@rule("drop", "split it into segments with label true where it is to be learned")
def no_segment(value: Value, _: Facts) -> str | None:
    """axolotl-ai-cloud/axolotl@067b021 `prompt_strategies/input_output.py`, and
    drop_no_trainable_tokens."""
    segments = value.get("segments")
    if not isinstance(segments, list):
        return None
    if any(isinstance(part, dict) and part.get("label") is True for part in segments):
        return None
    return "no segment has label true: dropped, Zero Trainable Tokens"


@rule("altered", "set field_messages, message_property_mappings {role: from, content: value}")
def sharegpt(value: Value, _: Facts) -> str | None:
    """axolotl-ai-cloud/axolotl@067b021: the type sharegpt is gone, roles human and gpt are mapped,
    the names of the fields are not."""
    turns = turns_of(value, "conversations")
    if turns and "from" in turns[0]:
        return "`from` and `value` are read only where the configuration maps them"
    return None


@rule(
    "altered", "set message_field_training: train and message_field_training_detail: train_detail"
)
def flags_ignored(value: Value, _: Facts) -> str | None:
    """axolotl-ai-cloud/axolotl@067b021 `prompt_strategies/chat_template.py` StrategyLoader: both
    fields are None by default."""
    key = conversation_key(value)
    name = flagged(turns_of(value, key), "train", "train_detail", "training") if key else None
    return f"`{name}` of a turn counts only where the configuration names it" if name else None


@rule("altered", "write `train: false` instead, and name it in message_field_training")
def weight_ignored(value: Value, _: Facts) -> str | None:
    """axolotl-ai-cloud/axolotl@067b021 `docs/dataset-formats/conversation.qmd`: `weight` counts in
    parts of a content alone."""
    key = conversation_key(value)
    return (
        "`weight` of a turn is ignored" if key and flagged(turns_of(value, key), "weight") else None
    )


@rule("altered", "end the row with the assistant's turn")
def last_not_trained(value: Value, facts: Facts) -> str | None:
    """axolotl-ai-cloud/axolotl@067b021 `prompt_strategies/chat_template.py`
    _tokenize_single_prompt: "Last turn is not trainable"."""
    if _type(facts.first or value) != "chat_template":
        return None
    turns = turns_of(value, conversation_key(value) or "messages")
    if turns and turns[-1].get("role", turns[-1].get("from")) not in _TRAINED:
        return "the last turn is not trained; the wrong end-of-turn token may be"
    return None


def remarks(first: Value) -> list[FileVerdict]:
    """What follows from the first row."""
    found = _type(first)
    if found == "none":
        return []
    extra = " and field_messages: conversations" if "conversations" in first else ""
    why = f"read with type: {found}{extra}; rows longer than sequence_len are dropped"
    return [FileVerdict(0, "keep", "type", why, "")]


AXOLOTL = Trainer(
    "axolotl",
    "Axolotl",
    "axolotl-ai-cloud/axolotl@067b021",
    "the dataset type that fits the first row, everything else by default",
    "arrow",
    (
        no_type,
        messages_null,
        column_missing,
        broken_arguments,
        tools_format,
        nothing_to_train,
        no_segment,
        sharegpt,
        flags_ignored,
        weight_ignored,
        last_not_trained,
    ),
    remarks,
)
