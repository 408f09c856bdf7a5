"""One turn of a conversation as files spell it: keys, role names, parts, tool calls, flags.

Knows one JSON object that stands for a turn. Does not know rows or lists of turns.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from engine.data.row.strict import WrongError, kind, load, names
from engine.data.shapes.row import Turn

ROLE_KEYS = ("role", "from", "speaker")
TEXT_KEYS = ("content", "value", "text", "message")

ROLES: dict[str, str] = {
    "system": "system",
    "developer": "developer",
    "user": "user",
    "assistant": "assistant",
    "tool": "tool",
    "human": "user",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "bing": "assistant",
    "bard": "assistant",
    "bot": "assistant",
    "model": "assistant",
    "function_call": "assistant",
    "tool_call": "assistant",
    "observation": "tool",
    "function": "tool",
    "function_response": "tool",
    "tool_response": "tool",
}
"""Role names of the file -> roles that chat templates know."""
CALLING = ("function_call", "tool_call")
"""Role names whose text is a call, written as JSON."""
PLAIN = {name: role for name, role in ROLES.items() if name not in CALLING}
READ_BY_TEMPLATES = ("name", "tool_call_id", "reasoning_content", "thinking")

_EXPECTED = {
    "role": "system, developer, user, assistant, tool",
    "from": "system, human, gpt, function_call, observation (or user, assistant, tool)",
}


def keys_of(item: Mapping[str, object]) -> tuple[str, str]:
    """Which keys of a turn hold its role and its text: `role` and `content` by default."""
    role = next((key for key in ROLE_KEYS if key in item), "role")
    default = "value" if role == "from" else "content"
    return role, next((key for key in TEXT_KEYS if key in item), default)


def read_turn(item: object, path: str, refused: list[str]) -> Turn:
    """Read one turn at the dotted `path`; what cannot be trained on is put into `refused`.

    Raises:
        WrongError: it is not a turn; key and expectation are named.
    """
    if not isinstance(item, dict):
        raise WrongError(
            f"{path}: expected an object with a role and a content, found {kind(item)}"
        )
    role_key, text_key = keys_of(item)
    name = text_at(item, role_key, path)
    role = ROLES.get(name)
    if role is None:
        expected = _EXPECTED.get(role_key, _EXPECTED["role"])
        raise WrongError(f"{path}.{role_key}: expected one of {expected}, found `{name[:40]}`")
    extra: dict[str, object] = {}
    for key in READ_BY_TEMPLATES:
        if item.get(key) is not None:
            extra[key] = text_at(item, key, path)
    if item.get("tool_calls"):
        extra["tool_calls"] = _calls(item["tool_calls"], f"{path}.tool_calls")
    elif item.get("function_call"):
        call = _call({"function": item["function_call"]}, f"{path}.function_call", nested=True)
        extra["tool_calls"] = [{"type": "function", **call}]
    flags: tuple[tuple[int, int, bool], ...] = ()
    content = item.get(text_key)
    if isinstance(content, list):
        text, flags = _parts(content, f"{path}.{text_key}", refused)
    elif content is None and (text_key in item or extra) and _may_be_silent(role, extra):
        text = ""
    else:
        text = text_at(item, text_key, path)
    if name in CALLING and isinstance(content, str):
        extra["tool_calls"] = _called(text, f"{path}.{text_key}")
        text = ""
    if item.get("train_detail") is not None:
        flags = _detail(item["train_detail"], f"{path}.train_detail", len(text))
    return Turn(role, text, _train(item, path), extra, flags)


def text_at(row: Mapping[str, object], key: str, path: str) -> str:
    """The text at `key` of an object which itself is at `path`."""
    value = row.get(key)
    if isinstance(value, str):
        return value
    where = f"{path}.{key}" if path else key
    if key not in row:
        raise WrongError(f"{where}: missing; expected text (found {names(row)})")
    raise WrongError(f"{where}: expected text, found {kind(value)}")


def tools_at(row: Mapping[str, object], path: tuple[str, ...]) -> tuple[Mapping[str, object], ...]:
    """The tools of a row: a list of objects, or such a list as JSON text; () if there are none."""
    value: object = row
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    where = ".".join(path)
    if isinstance(value, str):
        value = _json(value, where, "a list of tools") if value.strip() else []
    if value is None:
        return ()
    if not isinstance(value, list):
        raise WrongError(f"{where}: expected a list of tools, found {kind(value)}")
    for index, tool in enumerate(value):
        if not isinstance(tool, dict):
            raise WrongError(f"{where}.{index}: expected an object, found {kind(tool)}")
    return tuple(value)


def _may_be_silent(role: str, extra: Mapping[str, object]) -> bool:
    """An assistant that calls a tool, or only thinks, need not say anything."""
    return role == "assistant" and bool(extra.keys() & {"tool_calls", "reasoning_content"})


def _parts(
    parts: Sequence[object], path: str, refused: list[str]
) -> tuple[str, tuple[tuple[int, int, bool], ...]]:
    """The text of content parts, and which ranges of it the parts say are trained or not."""
    text, flags = "", []
    for index, part in enumerate(parts):
        where = f"{path}.{index}"
        if isinstance(part, str):
            text += part
            continue
        if not isinstance(part, dict):
            raise WrongError(f"{where}: expected an object with a type, found {kind(part)}")
        if part.get("type", "text") != "text":
            name = str(part["type"])[:40]
            refused.append(
                f"{where}: a part of type `{name}`; expected `text`, as no other is trained on"
            )
            text += f"[{name}]"
            continue
        start = len(text)
        text += text_at(part, "text", where)
        train = _train(part, where)
        if train is not None and len(text) > start:
            flags.append((start, len(text), train))
    return text, tuple(flags)


def _train(item: Mapping[str, object], path: str) -> bool | None:
    """Axolotl's `train` and OpenAI's `weight`, where there is one."""
    flag = item.get("train")
    if flag is not None:
        if not isinstance(flag, bool):
            raise WrongError(f"{path}.train: expected true or false, found {kind(flag)}")
        return flag
    weight = item.get("weight")
    if weight is not None and weight not in (0, 1):
        raise WrongError(f"{path}.weight: expected 0 or 1, found {kind(weight)}")
    return None if weight is None else bool(weight)


def _detail(value: object, path: str, length: int) -> tuple[tuple[int, int, bool], ...]:
    """Axolotl's `train_detail`; its `end_offset` is the last character, not the one after."""
    if not isinstance(value, list):
        raise WrongError(f"{path}: expected a list of ranges, found {kind(value)}")
    flags = []
    for index, item in enumerate(value):
        where = f"{path}.{index}"
        if not isinstance(item, dict):
            raise WrongError(f"{where}: expected an object, found {kind(item)}")
        ends = []
        for key in ("begin_offset", "end_offset"):
            at = item.get(key)
            if type(at) is not int or not 0 <= at < max(length, 1):
                found = at if type(at) is int else kind(at)
                raise WrongError(
                    f"{where}.{key}: expected a character from 0 to {length - 1}, found {found}"
                )
            ends.append(at)
        if ends[0] > ends[1]:
            raise WrongError(f"{where}: expected begin_offset up to end_offset at most")
        if not isinstance(item.get("train"), bool):
            raise WrongError(
                f"{where}.train: expected true or false, found {kind(item.get('train'))}"
            )
        flags.append((ends[0], ends[1] + 1, item["train"]))
    return tuple(flags)


# Tool calls


def _calls(value: object, path: str) -> list[dict[str, object]]:
    if not isinstance(value, list):
        raise WrongError(f"{path}: expected a list of calls, found {kind(value)}")
    calls = []
    for index, item in enumerate(value):
        if not isinstance(item, dict):
            raise WrongError(f"{path}.{index}: expected a call, found {kind(item)}")
        calls.append(_call(item, f"{path}.{index}", nested="function" in item))
    return calls


def _call(item: Mapping[str, object], path: str, *, nested: bool) -> dict[str, object]:
    """One call, with its arguments as an object; `nested`: its name lies under `function`."""
    if not nested:
        text_at(item, "name", path)
        return {**item, "arguments": _arguments(item.get("arguments"), f"{path}.arguments")}
    function, where = item["function"], f"{path}.function"
    if not isinstance(function, dict):
        raise WrongError(f"{where}: expected a name and arguments, found {kind(function)}")
    text_at(function, "name", where)
    arguments = _arguments(function.get("arguments"), f"{where}.arguments")
    return {**item, "function": {**function, "arguments": arguments}}


def _arguments(value: object, path: str) -> object:
    if value is None or value == "":
        return {}
    if isinstance(value, str):
        value = _json(value, path, "an object")
    if not isinstance(value, dict):
        raise WrongError(f"{path}: expected an object, found {kind(value)}")
    return value


def _called(text: str, path: str) -> list[dict[str, object]]:
    """The calls in the text of a ShareGPT turn: one object, or a list of them."""
    value = _json(text, path, "a call: a name and arguments")
    return [
        {"type": "function", "function": call}
        for call in _calls(value if isinstance(value, list) else [value], path)
    ]


def _json(text: str, path: str, expected: str) -> object:
    try:
        return load(text.encode())
    except WrongError as wrong:
        reason = str(wrong).partition("; expected")[0]
        raise WrongError(f"{path}: {reason}; expected {expected}, as JSON text") from None
