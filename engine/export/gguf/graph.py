"""What a GGUF file says of a model's graph: llama.cpp's keys, from config.json.

Knows windows, contexts and the numbers of each family. Does not know tensors.
"""

from __future__ import annotations

from engine.export.gguf import ropes
from engine.export.gguf.families import FAMILIES, Family, architecture, family_of, ropes_of
from engine.export.gguf.ropes import Key
from engine.export.gguf.shape import Config, head_dim, heads, layers, listed, number, whole


def check(config: Config) -> None:
    """Refuse, before a weight is read, whatever llama.cpp would not compute or nobody can read.

    Raises:
        Unsupported, BadInput: in words, as `family_of`, `keys` and `rope_tensors` say it.
    """
    keys(config, rows=1)
    rope_tensors(config)


def _rotated(config: Config, family: Family) -> int:
    return int(head_dim(config) * ropes_of(config, family)[0].share)


def rope_tensors(config: Config) -> dict[str, list[float]]:
    """Tensors of the file that no weight of the model is: see `ropes.tensors`."""
    family = FAMILIES[architecture(config)]
    return ropes.tensors(ropes_of(config, family)[0], _rotated(config, family))


def _window(config: Config, family: Family) -> tuple[int, list[bool]] | None:
    """The sliding window in tokens and the layers that have it, if any has."""
    if not config.get("sliding_window") or not config.get("use_sliding_window", True):
        return None
    size, count = whole(config, "sliding_window"), layers(config)
    if kinds := listed(config, "layer_types", str, count):
        windowed = [kind == "sliding_attention" for kind in kinds]
    else:
        period = whole(config, "sliding_window_pattern", family.period)
        first = number(config, "max_window_layers", 0) if family.window_last else 0
        windowed = [i >= first and (not period or (i + 1) % period != 0) for i in range(count)]
    return (size, windowed) if any(windowed) else None


def context(config: Config) -> int:
    """Tokens that the model can hold in llama.cpp with the answers it was trained to give."""
    return _limits(config)[0]


def remarks(config: Config) -> list[str]:
    """What a person should know of the file before using it; mostly nothing."""
    return [text for text in (_limits(config)[1],) if text]


def _limits(config: Config) -> tuple[int, str]:
    """The context of the file, and why it is less than the model's, if it is."""
    limit, family = whole(config, "max_position_embeddings"), FAMILIES.get(architecture(config))
    if family is None:
        return limit, ""
    found, why = limit, ""
    window = None if family.period else _window(config, family)
    if window and window[0] < found:
        found = window[0]
        why = f"llama.cpp's '{family.arch}' has no sliding window; within {found} it needs none"
    rope = ropes_of(config, family)[0]
    if rope.kind == "longrope" and rope.original < found:
        found = rope.original
        why = (
            "opened with more, llama.cpp turns all positions as for long texts, from the first on "
            f"(--override-kv {family.arch}.context_length=int:{limit} lifts the limit)"
        )
    return found, f"context {found} instead of {limit}: {why}" if why else ""


def keys(config: Config, rows: int) -> list[Key]:
    """llama.cpp's settings of the graph; `rows` is the number of embedding rows."""
    family = family_of(config)
    query, key_value = heads(config)
    full, sliding = ropes_of(config, family)
    listed: list[Key] = [
        ("block_count", "u32", layers(config)),
        ("context_length", "u32", context(config)),
        ("embedding_length", "u32", whole(config, "hidden_size")),
        ("feed_forward_length", "u32", whole(config, "intermediate_size")),
        ("attention.head_count", "u32", query),
        ("attention.head_count_kv", "u32", key_value),
        ("attention.key_length", "u32", head_dim(config)),
        ("attention.value_length", "u32", head_dim(config)),
        ("vocab_size", "u32", rows),
        *_numbers(config, family),
        *family.always,
        *ropes.keys(full, _rotated(config, family)),
    ]
    if family.period and (window := _window(config, family)):
        size, layered = window
        listed.append(("attention.sliding_window", "u32", size))
        if layered != [(i + 1) % family.period != 0 for i in range(len(layered))]:
            listed.append(("attention.sliding_window_pattern", "bools", layered))
        if family.nested:
            listed.append(("rope.freq_base_swa", "f32", sliding.theta))
    return listed


def _numbers(config: Config, family: Family) -> list[Key]:
    """The norms' epsilon and the family's other numbers."""
    there, here = family.epsilon
    fixed: list[Key] = [] if isinstance(there, str) else [(here, "f32", there)]
    wanted = [(there, here, True)] if isinstance(there, str) else []
    wanted += [(name, key, family.needed) for name, key in family.scalars]
    for name, key, needed in wanted:
        if needed or config.get(name) is not None:
            fixed.append((key, "f32", number(config, name)))
    return fixed
