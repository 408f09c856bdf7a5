"""What a file is: by its first bytes, and by its name where those do not decide.

Knows the beginnings of the formats that are read, and of those that people mistake for them.
Does not read further than the first 64 KiB.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import msgspec

from engine.data.sources.base import Compression, Format
from engine.data.sources.streams import BrokenStreamError, Stream
from store.errors import BadInput

HEAD = 64 << 10
_SPACE = b" \t\r\n"
_READ = "JSONL, a JSON array, CSV, TSV, Parquet, and these compressed by gzip or zstd"
_OTHERS: tuple[tuple[bytes, str, str], ...] = (
    (b"PK\x03\x04", "a ZIP archive (or a spreadsheet)", "unpack it, or export it as CSV"),
    (b"BZh", "compressed by bzip2", "`bunzip2` it, or compress it by gzip or zstd"),
    (b"\xfd7zXZ\0", "compressed by xz", "`unxz` it, or compress it by gzip or zstd"),
    (b"\x04\x22\x4d\x18", "compressed by lz4", "unpack it, or compress it by gzip or zstd"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive", "unpack it first"),
    (b"SQLite format 3\0", "an SQLite database", "export a table of it as CSV or JSONL"),
    (b"ARROW1", "an Arrow file", "write it as Parquet or JSONL: `dataset.to_json(…)`"),
    (b"\xff\xff\xff\xff", "an Arrow stream", "write it as Parquet or JSONL: `dataset.to_json(…)`"),
    (b"ORC", "an ORC file", "write it as Parquet"),
    (b"Obj\x01", "an Avro file", "write it as Parquet or JSONL"),
    (b"\x89HDF", "an HDF5 file", "export its rows as JSONL"),
    (b"\x93NUMPY", "a NumPy array", "export its rows as JSONL"),
    (b"%PDF", "a PDF", "a dataset has one example a row: make JSONL of it"),
    (b"GGUF", "a GGUF model", "name a dataset; `workbench models` lists models"),
    (b"PARE", "an encrypted Parquet file", "decrypt it first"),
    (b"-----BEGIN PGP", "encrypted", "decrypt it first"),
    (b"age-encryption.org/", "encrypted", "decrypt it first"),
    (b"version https://git-lfs", "a Git LFS pointer, not the data", "run `git lfs pull`"),
    (b"<!DOCTYPE", "a web page", "download the data file itself"),
    (b"<html", "a web page", "download the data file itself"),
)
_WIDE = (
    (b"\xff\xfe\0\0", "UTF-32LE"),
    (b"\0\0\xfe\xff", "UTF-32BE"),
    (b"\xff\xfe", "UTF-16LE"),
    (b"\xfe\xff", "UTF-16BE"),
)


@dataclass(frozen=True, slots=True)
class Kind:
    """How a file is to be read."""

    format: Format
    compression: Compression | None

    @property
    def plain(self) -> bool:
        """Are its own lines the rows?"""
        return self.format == "jsonl" and self.compression is None


def detect(path: Path, fd: int) -> Kind:
    """What the open file `fd` is.

    Raises:
        BadInput: it is something else than can be read; the message says what.
    """
    head = os.pread(fd, HEAD, 0)
    name = path.name.lower()
    compression: Compression | None = None
    if head.startswith(b"\x1f\x8b"):
        compression = "gzip"
    elif head.startswith(b"\x28\xb5\x2f\xfd") or head[1:4] == b"\x2a\x4d\x18":
        compression = "zstd"
    if compression is not None:
        head = _unpacked_head(path, fd, compression)
        name = name.removesuffix(".gz").removesuffix(".gzip").removesuffix(".zst")
        name = name.removesuffix(".zstd")
    elif name.endswith((".gz", ".gzip", ".zst", ".zstd")) and b"\0" in head:
        raise BadInput(
            f"{path}: named as compressed, but it does not begin as gzip or Zstandard does",
            "perhaps it is encrypted or was not downloaded whole; fetch it again",
        )
    _refuse_others(path, head)
    if head.startswith(b"PAR1"):
        if compression is not None:
            raise BadInput(
                f"{path}: a Parquet file inside a compressed one; expected Parquet as it is",
                "unpack it: Parquet is compressed inside",
            )
        return Kind("parquet", None)
    if name.endswith((".parquet", ".pq")) and head:
        raise BadInput(
            f"{path}: named as Parquet, but it does not begin as Parquet does (PAR1)",
            f"see what it really is; read are {_READ}",
        )
    found = _text_format(name, head)
    if found == "jsonl" and name.endswith(".json") and _one_object(head):
        raise BadInput(
            f"{path}: one JSON object over several lines; expected rows: JSONL or a JSON array",
            "take the list inside it out, as by `jq -c '.data[]' FILE > rows.jsonl`",
        )
    return Kind(found, compression)


def _unpacked_head(path: Path, fd: int, compression: Compression) -> bytes:
    head = b""
    try:
        for piece in Stream(fd, compression).pieces():
            head += piece
            if len(head) >= HEAD:
                break
    except BrokenStreamError as error:
        if not head:
            raise BadInput(f"{path}: {error}", "fetch the file again") from None
    return head[:HEAD]


def _refuse_others(path: Path, head: bytes) -> None:
    for magic, what, way_out in _OTHERS:
        if head.startswith(magic):
            raise BadInput(f"{path}: {what}; expected {_READ}", way_out)
    for mark, encoding in _WIDE:
        if head.startswith(mark):
            raise _wide(path, encoding)
    if head[:1] in (b"{", b"[") and head[1:2] == b"\0" and head[3:4] == b"\0":
        raise _wide(path, "UTF-16LE")


def _wide(path: Path, encoding: str) -> BadInput:
    return BadInput(
        f"{path}: {encoding} text; expected UTF-8",
        f"convert it: `iconv -f {encoding} -t UTF-8 {path.name} > new.jsonl`",
    )


def _text_format(name: str, head: bytes) -> Format:
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip(_SPACE)
    if text.startswith(b"["):
        endless = b"\n" not in text and len(head) >= HEAD
        lined = endless and name.endswith((".jsonl", ".ndjson"))
        return "jsonl" if lined or _list_a_line(text) else "json"
    if name.endswith((".csv", ".tsv", ".tab")) and not _object_a_line(text):
        return "csv"
    return "jsonl"


def _list_a_line(text: bytes) -> bool:
    """Is the first line a whole list, and does another row follow?"""
    first, newline, rest = text.partition(b"\n")
    return bool(newline) and bool(rest.strip()) and _is_json(first)


def _object_a_line(text: bytes) -> bool:
    return text.startswith(b"{") and _is_json(text.partition(b"\n")[0])


def _one_object(head: bytes) -> bool:
    first, _, rest = head.removeprefix(b"\xef\xbb\xbf").lstrip(_SPACE).partition(b"\n")
    return first.strip() == b"{" and not rest.lstrip(_SPACE).startswith(b"{")


def _is_json(text: bytes) -> bool:
    try:
        msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return True
