"""Together's fine-tuning service: the check that its client makes before a file is sent.

Knows togethercomputer/together-python@05b6739 `src/together/utils/files.py` and constants. It is
not installed here, so the rules are as read, not as tried. Does not know what the service does
with a file that passes.
"""

from __future__ import annotations

from engine.data.trainers.base import Facts, Trainer, Value, kind, rule

_FORMATS = {
    "text": ("text",),
    "messages": ("messages",),
    "prompt and completion": ("prompt", "completion"),
    "preference": ("input", "preferred_output", "non_preferred_output"),
}
_ROLES = ("system", "user", "assistant", "tool")


def _formats(value: Value) -> list[str]:
    """togethercomputer/together-python@05b6739 `constants.py` JSONL_REQUIRED_COLUMNS_MAP."""
    return [name for name, keys in _FORMATS.items() if all(key in value for key in keys)]


@rule("error", "workbench data convert --to messages")
def no_format(value: Value, _: Facts) -> str | None:
    """togethercomputer/together-python@05b6739 `src/together/utils/files.py` _check_jsonl."""
    return None if _formats(value) else "could not detect a format for this line"


@rule("error", "keep the columns of one format")
def two_formats(value: Value, _: Facts) -> str | None:
    """docs.together.ai/docs/fine-tuning/data-preparation, and _check_jsonl."""
    found = _formats(value)
    return f"found multiple dataset formats: {' and '.join(found)}" if len(found) > 1 else None


@rule("error", "take the column out")
def extra_column(value: Value, _: Facts) -> str | None:
    """togethercomputer/together-python@05b6739 `src/together/utils/files.py` _check_jsonl; newer
    clients let `tools` stand beside `messages`."""
    format_ = _formats(value)[0]
    allowed = (*_FORMATS[format_], *(("tools",) if format_ == "messages" else ()))
    more = next((key for key in value if key not in allowed), None)
    return None if more is None else f'found extra column "{more}"'


@rule("error", "use one shape in the file")
def another_format(value: Value, facts: Facts) -> str | None:
    """togethercomputer/together-python@05b6739 `src/together/utils/files.py` _check_jsonl."""
    mine, theirs = _formats(value), _formats(facts.first or value)
    if theirs and mine != theirs:
        return f"all samples must have the same format: {theirs[0]} first, {mine[0]} here"
    return None


@rule("error", "write text")
def not_text(value: Value, _: Facts) -> str | None:
    """togethercomputer/together-python@05b6739 `src/together/utils/files.py` _check_jsonl."""
    format_ = _formats(value)[0]
    if format_ in ("text", "prompt and completion"):
        for key in _FORMATS[format_]:
            if not isinstance(value[key], str):
                return f"`{key}`: expected string, found {kind(value[key])}"
    return None


@rule("error", "repair the turns: roles take turns, each with content")
def wrong_turns(value: Value, _: Facts) -> str | None:
    """togethercomputer/together-python@05b6739 `src/together/utils/files.py` validate_messages."""
    if _formats(value)[0] != "messages":
        return None
    turns = value["messages"]
    if not isinstance(turns, list) or not turns:
        return "`messages`: expected a non-empty list of messages"
    before = None
    for number, turn in enumerate(turns):
        where = f"messages.{number}"
        if not isinstance(turn, dict) or not isinstance(turn.get("role"), str):
            return f"{where}: field `role` is missing or not text"
        if not isinstance(turn.get("content"), str) and not turn.get("tool_calls"):
            return f"{where}: field `content` is missing or not text"
        if turn["role"] not in _ROLES:
            return f"{where}: found invalid role `{turn['role']}`"
        if turn["role"] == before and before != "tool":
            return f"{where}: roles must alternate user/assistant/user/assistant/…"
        if turn.get("weight") not in (None, 0, 1):
            return f"{where}: weight must be either 0 or 1"
        before = turn["role"]
    first = turns[0]["role"]
    return None if first in ("system", "user") else f"the first role is {first}; expected user"


@rule("error", "one assistant message in preferred_output and one in non_preferred_output")
def wrong_preference(value: Value, _: Facts) -> str | None:
    """togethercomputer/together-python@05b6739 `src/together/utils/files.py`
    validate_preference_openai."""
    if _formats(value)[0] != "preference":
        return None
    given = value["input"]
    if not isinstance(given, dict) or "messages" not in given:
        return "`input` must be a dictionary with a `messages` field"
    for key in ("preferred_output", "non_preferred_output"):
        answers = value[key]
        if not isinstance(answers, list) or len(answers) != 1:
            return f"`{key}` must contain exactly one message"
        if not isinstance(answers[0], dict) or answers[0].get("role") != "assistant":
            return f"`{key}` must contain an assistant message"
    return None


TOGETHER = Trainer(
    "together",
    "Together",
    "togethercomputer/together-python@05b6739",
    "the check of the client before upload",
    "json",
    (
        no_format,
        two_formats,
        extra_column,
        another_format,
        not_text,
        wrong_turns,
        wrong_preference,
    ),
)
