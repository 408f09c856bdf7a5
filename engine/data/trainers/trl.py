"""TRL's SFTTrainer.

Knows what TRL 1.16 (installed here) does with a row in its default configuration; every rule is
tried against it in the tests. Does not know models: what a chat template refuses, and what
`max_length` masks entirely and drops, is for preflight to say.
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

_TURNS = "name them `messages` with `role` and `content`: workbench data convert --to messages"
_LISTS = ("prompt", "completion", "chosen", "rejected", "messages")
_MAPPED = {"system", "user", "assistant", "tool", "developer"}


def _conversational(value: Value) -> bool:
    """Does TRL take the row for a conversation?"""
    for key in (*_LISTS, "conversations"):
        turns = value.get(key)
        if isinstance(turns, list) and turns:
            first = turns[0]
            return isinstance(first, dict) and ("role" in first or "from" in first)
    return False


@rule("error", "delete the row, or give it turns")
def empty_list(value: Value, _: Facts) -> str | None:
    """huggingface/trl 1.16 `trl/data_utils.py` is_conversational: looks at element [0]."""
    for key in (*_LISTS, "conversations"):
        if value.get(key) == []:
            return f"`{key}` is an empty list: IndexError: list index out of range"
    return None


@rule("error", "use one shape in the file, or train on two files one after the other")
def another_shape(value: Value, facts: Facts) -> str | None:
    """huggingface/trl 1.16 `trl/trainer/sft_trainer.py` _prepare_dataset: the first row decides
    whether all get an end-of-sequence text, and absent columns are None in every row."""
    first = facts.first or value
    mine, theirs = _shape(value), _shape(first)
    if mine == theirs or theirs in ("tokens", "none") or mine == "none":
        return None
    if theirs == "messages" and mine == "text":
        return None
    return f"{mine} in a file that begins with {theirs}: AttributeError or TypeError on None"


@rule("error", "rename the columns: workbench data convert --to messages or prompt_completion")
def no_column(value: Value, _: Facts) -> str | None:
    """huggingface/trl 1.16 `trl/trainer/sft_trainer.py` tokenize_fn: text is what is left."""
    if _shape(value) != "none":
        return None
    return "none of `messages`, `prompt` and `completion`, `text`: KeyError: 'text'"


@rule("error", "DPOTrainer reads chosen and rejected, SFTTrainer needs a `completion`")
def no_completion(value: Value, _: Facts) -> str | None:
    """huggingface/trl 1.16 `trl/trainer/sft_trainer.py` tokenize_fn, `"prompt" in example`."""
    if value.get("prompt") is None or value.get("completion") is not None:
        return None
    return "`prompt` without a `completion`: KeyError: 'completion'"


@rule("error", "write prompt and completion both as text, or both as lists of turns")
def half_and_half(value: Value, _: Facts) -> str | None:
    """huggingface/trl 1.16 `trl/trainer/sft_trainer.py` tokenize_fn: prompt + completion."""
    prompt, completion = value.get("prompt"), value.get("completion")
    if prompt is None or completion is None or kind(prompt) == kind(completion):
        return None
    return f"prompt is {kind(prompt)}, completion is {kind(completion)}: TypeError"


@rule("error", "delete the row, or give it text")
def no_text(value: Value, _: Facts) -> str | None:
    """huggingface/trl 1.16 `trl/trainer/sft_trainer.py` add_eos: `.endswith` of None."""
    if "text" in value and not isinstance(value["text"], str) and _shape(value) == "text":
        return f"`text` is {kind(value['text'])}: AttributeError: no attribute 'endswith'"
    return None


@rule("error", _TURNS)
def roles_not_mapped(value: Value, _: Facts) -> str | None:
    """huggingface/trl 1.16 `trl/data_utils.py` maybe_convert_to_chatml: `from` and `value` are
    renamed, what `from` says is not."""
    for turn in turns_of(value, "conversations"):
        role = turn.get("from")
        if isinstance(role, str) and role not in _MAPPED:
            return f"role `{role}` is kept as it is, which chat templates refuse or leave out"
    return None


@rule("error", _TURNS)
def conversations_with_roles(value: Value, _: Facts) -> str | None:
    """huggingface/trl 1.16 `trl/data_utils.py` is_conversational_from_value wants `from`."""
    turns = turns_of(value, "conversations")
    if turns and "from" not in turns[0] and "messages" not in value:
        return "`conversations` with `role` and `content` is not converted: KeyError: 'text'"
    return None


@rule("drop", "write the turns as a list, not as text")
def turns_as_text(value: Value, _: Facts) -> str | None:
    """huggingface/trl 1.16: with `messages` as text no column is left, and no row."""
    turns = value.get("messages")
    return "`messages` is text: no row is left" if isinstance(turns, str) else None


@rule("altered", "set assistant_only_loss, and take turns out that must not be learned")
def flags_ignored(value: Value, _: Facts) -> str | None:
    """huggingface/trl 1.16 `trl/trainer/sft_trainer.py` build_labels: masks are by role alone."""
    key = conversation_key(value)
    name = flagged(turns_of(value, key), "train", "weight", "training") if key else None
    return f"`{name}` of a turn is ignored" if name else None


@rule("altered", "make it the first turn, with the role `system`")
def system_ignored(value: Value, _: Facts) -> str | None:
    """huggingface/trl 1.16 `trl/trainer/sft_trainer.py` tokenize_fn reads no such column."""
    if value.get("system") and conversation_key(value):
        return "the column `system` is not read"
    return None


@rule("altered", "end it with the end-of-sequence token, or give text a file of its own")
def no_end(value: Value, facts: Facts) -> str | None:
    """huggingface/trl 1.16 `trl/trainer/sft_trainer.py` add_eos: only where the first row is no
    conversation."""
    if facts.first and _shape(facts.first) == "messages" and _shape(value) == "text":
        return "no end-of-sequence token is added to text in a file that begins with turns"
    return None


def _shape(value: Value) -> str:
    if "input_ids" in value:
        return "tokens"
    if value.get("messages") is not None or value.get("conversations") is not None:
        return "messages"
    if value.get("prompt") is not None:
        return "turns of prompt and completion" if _conversational(value) else "prompt"
    return "text" if "text" in value else "none"


def remarks(first: Value) -> list[FileVerdict]:
    """What follows from the first row (`completion_only_loss` in SFTTrainer.__init__)."""
    if _shape(first) == "messages":
        why = "every token is trained on, what the user says too"
        return [FileVerdict(0, "altered", "mask", why, "set assistant_only_loss=True")]
    if first.get("prompt") is not None and first.get("completion") is not None:
        why = "the first row has prompt and completion: completion_only_loss is set"
        return [FileVerdict(0, "keep", "mask", why, "")]
    return []


TRL = Trainer(
    "trl",
    "TRL",
    "trl 1.16.0, datasets 5.2.0",
    "SFTTrainer with SFTConfig as it is by default",
    "arrow",
    (
        empty_list,
        no_column,
        conversations_with_roles,
        another_shape,
        no_completion,
        half_and_half,
        no_text,
        turns_as_text,
        roles_not_mapped,
        flags_ignored,
        system_ignored,
        no_end,
    ),
    remarks,
)
