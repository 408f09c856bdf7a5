"""Groups of rows: which keys belong together because some row has both.

Knows arrays of 64-bit keys, a column for each thing to group by. Does not know rows or files.

A row is an edge between the keys it has, a group is a connected part of that graph (the method is
hooking and pointer jumping, Shiloach and Vishkin 1982, on whole arrays). A group is named by its
smallest key, those of the first column first; a group that was joined from several gets a mark of
its own, spread evenly again, as the smallest of several hashes is not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Marks = npt.NDArray[np.uint64]
_PAIR = np.dtype([("key", "<u8"), ("mark", "<u8")])


@dataclass(frozen=True, slots=True)
class Grouped:
    """Marks of rows, 0 for a row without any key, and what was tied to get them."""

    marks: Marks
    ties: bytes
    joined: int


def join(columns: Sequence[Marks], ties: bytes = b"") -> Grouped:
    """Give every row the mark of its group.

    Args:
        columns: keys of the rows, each of shape (n,), 0 where a row has none; the columns are
            changed in place.
        ties: what an earlier call returned: keys that were one group then are so now.
    """
    known = np.frombuffer(ties, _PAIR)
    for column in columns:
        _resolve(column, known)
    if len(columns) == 1:
        return Grouped(columns[0], ties, 0)
    values, ids, offset = [], [], 0
    for column in columns:
        keys, places = np.unique(column, return_inverse=True)
        node = (places + offset).astype(np.int64)
        node[column == 0] = -1
        values.append(keys)
        ids.append(node)
        offset += len(keys)
    every = np.concatenate(values)
    first = ids[-1].copy()
    for node in reversed(ids[:-1]):
        np.copyto(first, node, where=node >= 0)
    parent = _components(offset, first, ids)
    own = np.unique(first[first >= 0])
    roots = parent[own]
    tied = np.bincount(roots, minlength=offset) > 1
    mark = np.where(tied, _mixed(every), every)
    loose = tied[roots]
    fresh = np.empty(int(loose.sum()), _PAIR)
    fresh["key"], fresh["mark"] = every[own[loose]], mark[roots[loose]]
    marks = np.where(first >= 0, mark[parent[first]], np.uint64(0))
    return Grouped(marks, _together(known, fresh), int(np.count_nonzero(tied)))


def resolved(key: int, ties: npt.NDArray[np.void]) -> int:
    """The mark that a single key stands for."""
    one = np.array([key], np.uint64)
    _resolve(one, ties)
    return int(one[0])


def read_ties(ties: bytes) -> npt.NDArray[np.void]:
    """Ties as an array that is sorted by key."""
    return np.frombuffer(ties, _PAIR)


def _resolve(column: Marks, known: npt.NDArray[np.void]) -> None:
    """Put, in place, the mark of a tie where its key stands."""
    if len(known):
        at = np.minimum(np.searchsorted(known["key"], column), len(known) - 1)
        hit = known["key"][at] == column
        column[hit] = known["mark"][at[hit]]


def _components(
    nodes: int, first: npt.NDArray[np.int64], ids: Sequence[npt.NDArray[np.int64]]
) -> npt.NDArray[np.int64]:
    """The smallest node that each node is connected with."""
    there = [(node >= 0) & (node != first) for node in ids]
    a = np.concatenate([first[edge] for edge in there])
    b = np.concatenate([node[edge] for node, edge in zip(ids, there, strict=True)])
    parent = np.arange(nodes)
    while True:
        low, high = np.minimum(parent[a], parent[b]), np.maximum(parent[a], parent[b])
        apart = low != high
        if not apart.any():
            return parent
        a, b = a[apart], b[apart]
        np.minimum.at(parent, high[apart], low[apart])
        while not np.array_equal(above := parent[parent], parent):
            parent = above


def _together(known: npt.NDArray[np.void], fresh: npt.NDArray[np.void]) -> bytes:
    """Earlier ties, led on to where their marks are tied now, and the new ones; sorted."""
    fresh = fresh[np.argsort(fresh["key"])]
    if len(known):
        led = known.copy()
        _resolve(led["mark"], fresh)
        fresh = np.concatenate([led, fresh])
        fresh = fresh[np.unique(fresh["key"], return_index=True)[1]]
    return fresh.tobytes()


def _mixed(values: Marks) -> Marks:
    """Spread numbers evenly over 64 bits (splitmix64, Steele et al. 2014)."""
    with np.errstate(over="ignore"):
        z = values + np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return z ^ (z >> np.uint64(31))
