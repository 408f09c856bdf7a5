"""Bytes of a file as they were before it was compressed, a piece at a time.

Knows gzip and Zstandard, files of several members, and files that were cut short. Does not know
what the bytes mean. Memory stays flat whatever a file claims to hold.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from engine.data.file.copying import CHUNK, write_all
from store.errors import BadInput

if TYPE_CHECKING:
    from engine.data.sources.base import Compression

PIECE = 256 << 10
"""About how many bytes come at a time."""
_FEED = 2 << 10
"""A frame of Zstandard may hold 128 KiB in four bytes: it is fed little at once."""
_WINDOW = 1 << 27
_GZIP = 31


class BrokenStreamError(Exception):
    """The compressed data end early or are damaged; the text says which, and where."""


class Stream:
    """The unpacked bytes of an open file, and how far into the file they have come.

    Attributes:
        at: bytes of the file that were read.
        out: bytes that came out of it.
    """

    def __init__(self, fd: int, compression: Compression | None) -> None:
        self._fd = fd
        self._compression = compression
        self.at = 0
        self.out = 0

    def pieces(self) -> Iterator[bytes]:
        """The bytes, in order.

        Raises:
            BrokenStreamError: after all bytes that could be read.
        """
        if self._compression is None:
            found = self._raw(PIECE)
        elif self._compression == "gzip":
            found = self._gzip()
        else:
            found = self._zstd()
        for piece in found:
            self.out += len(piece)
            yield piece

    def _raw(self, size: int) -> Iterator[bytes]:
        while piece := os.pread(self._fd, size, self.at):
            self.at += len(piece)
            yield piece

    def _gzip(self) -> Iterator[bytes]:
        member = zlib.decompressobj(_GZIP)
        begun, finished = False, False
        try:
            for packed in self._raw(64 << 10):
                while packed:
                    if not begun:
                        # Between members zeros may be padding.
                        packed = packed.lstrip(b"\0") if finished else packed
                        if not packed:
                            break
                        member, begun = zlib.decompressobj(_GZIP), True
                    piece = member.decompress(packed, PIECE)
                    if piece:
                        yield piece
                    if member.eof:
                        packed, begun, finished = member.unused_data, False, True
                    else:
                        packed = member.unconsumed_tail
        except zlib.error as error:
            if finished and not member.eof and self.out:
                raise BrokenStreamError(
                    f"the gzip data are followed by something else, before byte {self.at:,}"
                ) from None
            raise BrokenStreamError(
                f"the gzip data are damaged before byte {self.at:,} ({error})"
            ) from None
        if begun:
            while piece := member.decompress(member.unconsumed_tail, PIECE):
                yield piece
            if not member.eof:
                raise BrokenStreamError(
                    f"the gzip data end early, at byte {self.at:,}: the file was cut short"
                )

    def _zstd(self) -> Iterator[bytes]:
        import zstandard

        unpacker = zstandard.ZstdDecompressor(max_window_size=_WINDOW)
        frame, begun, parts, size = unpacker.decompressobj(), False, [], 0
        try:
            for packed in self._raw(_FEED):
                while packed:
                    if not begun:
                        frame, begun = unpacker.decompressobj(), True
                    piece = frame.decompress(packed)
                    if piece:
                        parts.append(piece)
                        size += len(piece)
                    packed = frame.unused_data if frame.eof else b""
                    begun = not frame.eof
                if size >= PIECE:
                    whole = b"".join(parts)
                    parts, size = [], 0
                    for start in range(0, len(whole), CHUNK):
                        yield whole[start : start + CHUNK]
        except zstandard.ZstdError as error:
            yield b"".join(parts)
            raise BrokenStreamError(_zstd_reason(str(error), self.at)) from None
        yield b"".join(parts)
        if begun:
            raise BrokenStreamError(
                f"the Zstandard data end early, at byte {self.at:,}: the file was cut short"
            )


def _zstd_reason(error: str, at: int) -> str:
    if "memory" in error.lower() or "window" in error.lower():
        return (
            f"the Zstandard data ask for more than {_WINDOW >> 20} MiB of memory; "
            "expected a file compressed without `--ultra` or `--long`"
        )
    if "ictionary" in error:
        return "the Zstandard data need a dictionary that is not in the file"
    return f"the Zstandard data are damaged before byte {at:,} ({error})"


def unpack_all(fd: int, compression: Compression, out: int, what: object) -> None:
    """Write all unpacked bytes of `fd` to `out`.

    Raises:
        BadInput: they cannot be read to the end.
    """
    try:
        for piece in Stream(fd, compression).pieces():
            write_all(out, piece)
    except BrokenStreamError as error:
        raise BadInput(f"{what}: not saved, {error}", "repair the file outside first") from None


def pack_all(fd: int, compression: Compression, out: int, head: bytes) -> None:
    """Write the bytes of `fd` to `out`, compressed as the file that began with `head` was."""
    if compression == "gzip":
        # The eighth byte of a gzip file says whether it was packed for size (2) or speed (4).
        level = {2: 9, 4: 1}.get(head[8] if len(head) > 8 else 0, 6)
        packer = zlib.compressobj(level, zlib.DEFLATED, _GZIP)
        for piece in Stream(fd, None).pieces():
            write_all(out, packer.compress(piece))
        write_all(out, packer.flush())
        return
    import zstandard

    size = os.fstat(fd).st_size
    writer = zstandard.ZstdCompressor(write_checksum=True, threads=-1).compressobj(size=size)
    for piece in Stream(fd, None).pieces():
        write_all(out, writer.compress(piece))
    write_all(out, writer.flush())
