"""GGUF files that mean harm, made of a good one: cut, lying about sizes, or well-formed and absurd.

Each is a few kilobytes to a megabyte; llama.cpp may die of any of them.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gguf

Value = Any
Change = Callable[[dict[str, Value]], None]
NO = object()
"""Leaves a key out."""


def cut(good: Path, target: Path) -> Iterator[tuple[str, Path]]:
    """The good file cut at many places: in the header, keys, tensor list and data."""
    data, start = good.read_bytes(), gguf.GGUFReader(good).data_offset
    places = [0, 1, 3, 4, 7, 12, 20, 24, 25, 40, start // 3, start // 2, start - 200, start - 1]
    places += [start, start + 1, (start + len(data)) // 2, len(data) - 1]
    for place in places:
        target.write_bytes(data[:place])
        yield f"cut at {place}", target


def lying(good: Path, target: Path) -> Iterator[tuple[str, Path]]:
    """Counts and lengths of the header that the file does not hold, one at a time."""
    data = good.read_bytes()
    key_length = struct.unpack_from("<Q", data, 24)[0]
    value_at = 24 + 8 + key_length + 4
    for words, at, form, value in [
        ("magic", 0, "4s", b"GGML"),
        ("version 0", 4, "<I", 0),
        ("version of the other byte order", 4, ">I", 3),
        ("version 2^31", 4, "<I", 1 << 31),
        ("tensors 2^63", 8, "<Q", 1 << 63),
        ("tensors 10^6", 8, "<Q", 10**6),
        ("keys 2^63", 16, "<Q", 1 << 63),
        ("keys 10^6", 16, "<Q", 10**6),
        ("length of a key 2^63", 24, "<Q", 1 << 63),
        ("length of a key 2^40", 24, "<Q", 1 << 40),
        ("type of a value", 24 + 8 + key_length, "<I", 99),
        ("length of a value 2^62", value_at, "<Q", 1 << 62),
    ]:
        changed = bytearray(data)
        struct.pack_into(form, changed, at, value)
        target.write_bytes(changed)
        yield words, target


def rewritten(good: Path, target: Path, changes: dict[str, Value], tensors: Any = None) -> Path:
    """The good file with other keys (`NO` leaves one out) and tensors.

    Args:
        tensors: gets each tensor's name and data, gives the data to write or None.
    """
    reader = gguf.GGUFReader(good)
    writer = gguf.GGUFWriter(target, reader.fields["general.architecture"].contents())
    for name, field in reader.fields.items():
        if name.startswith("GGUF.") or name == "general.architecture":
            continue
        value = changes.get(name, field.contents())
        if value is NO:
            continue
        kind = field.types[0]
        item = field.types[-1] if kind == gguf.GGUFValueType.ARRAY else None
        writer.add_key_value(name, value, kind, item)
    for name in changes.keys() - reader.fields.keys():
        if changes[name] is not NO:
            writer.add_uint32(name, changes[name])
    for tensor in reader.tensors:
        data = tensor.data if tensors is None else tensors(tensor.name, tensor.data)
        if data is not None:
            writer.add_tensor(tensor.name, data, raw_dtype=tensor.tensor_type)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return target


def field(good: Path, name: str) -> Value:
    """A key's value."""
    return gguf.GGUFReader(good).fields[name].contents()


def absurd(good: Path, target: Path) -> Iterator[tuple[str, Path]]:
    """Well-formed files that say what cannot be."""
    tokens = list(field(good, "tokenizer.ggml.tokens"))
    doubled = [*tokens]
    doubled[300:600] = [tokens[299]] * 300
    keys: list[tuple[str, dict[str, Value]]] = [
        ("block_count 2^31-1", {"llama.block_count": 2**31 - 1}),
        ("block_count 2^32-1", {"llama.block_count": 2**32 - 1}),
        ("block_count 1000", {"llama.block_count": 1000}),
        ("block_count 0", {"llama.block_count": 0}),
        ("epsilon NaN", {"llama.attention.layer_norm_rms_epsilon": float("nan")}),
        ("epsilon negative", {"llama.attention.layer_norm_rms_epsilon": -1.0}),
        ("duplicate tokens", {"tokenizer.ggml.tokens": doubled}),
        ("no tokens", {"tokenizer.ggml.tokens": NO}),
        ("few tokens", {"tokenizer.ggml.tokens": tokens[:7]}),
        ("no architecture's keys", {"llama.embedding_length": NO}),
        ("embedding_length 0", {"llama.embedding_length": 0}),
        ("head_count 0", {"llama.attention.head_count": 0}),
        ("head_count 2^31", {"llama.attention.head_count": 2**31}),
        ("head_count_kv 3", {"llama.attention.head_count_kv": 3}),
        ("rope of 7 dimensions", {"llama.rope.dimension_count": 7}),
        ("feed_forward_length 2^31", {"llama.feed_forward_length": 2**31}),
        ("tokenizer unknown", {"tokenizer.ggml.model": "\x1b]0;owned\x07"}),
        ("pre-tokeniser unknown", {"tokenizer.ggml.pre": "\x1b[2J"}),
        ("alignment 2^31", {"general.alignment": 2**31}),
    ]
    for words, changes in keys:
        yield words, rewritten(good, target, changes)

    def nothing(*_: Any) -> None:
        return None

    yield "no tensors", rewritten(good, target, {}, nothing)

    def one_less(name: str, data: Any) -> Any:
        return None if name == "blk.1.ffn_up.weight" else data

    yield "one tensor missing", rewritten(good, target, {}, one_less)

    def not_numbers(name: str, data: Any) -> Any:
        return data * float("nan") if name == "blk.1.ffn_up.weight" else data

    yield "weights that are no numbers", rewritten(good, target, {}, not_numbers)


BOMBS = {
    "nested loops": "{% for a in range(99999) %}{% for b in range(99999) %}"
    "{% endfor %}{% endfor %}",
    "one long text": "{{ 'x' * 300000000 }}",
    "no room": "{{ 'x' * 10**12 }}",
    "doubled forty times": "{% set n = namespace(t='xx') %}{% for i in range(40) %}"
    "{% set n.t = n.t ~ n.t %}{% endfor %}{{ n.t }}",
    "a number of many digits": "{{ 9**9**9 }}",
    "padding": "{{ '%2000000000d' % 1 }}",
    "recursion": "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
    "a way out": "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "no template": "{% for %}",
    "a template too long": "x" * 300_000,
    "a long refusal": "{{ raise_exception('x' * 100000000) }}",
    "escape codes": "\x1b]0;owned\x07{{ raise_exception('\x1b[2J no') }}",
}
"""Chat templates that mean harm."""


LONG = ("nested loops", "no room", "a number of many digits", "recursion", "a template too long")
"""Those that take their time, or are met like another one."""


def bombs(good: Path, target: Path, *, long: bool) -> Iterator[tuple[str, Path]]:
    """Files with such templates."""
    for words, template in BOMBS.items():
        if (words in LONG) is long:
            yield words, rewritten(good, target, {"tokenizer.chat_template": template})
