"""How busy an NVIDIA device is, asked of the library that comes with its driver.

Knows a few of that library's functions, through ctypes. Where the library, or what is asked of it
(a part of a device, MIG), is not there, it says that it does not know.
"""

from __future__ import annotations

import ctypes
import time

_LIBRARY = "libnvidia-ml.so.1"
_EVERY_S = 1.0
"""The driver itself looks no more often."""


class _Utilization(ctypes.Structure):
    _fields_ = (("gpu", ctypes.c_uint), ("memory", ctypes.c_uint))


class Meter:
    """The load of one device, looked at once a second at most.

    Args:
        uuid: as CUDA tells it, `GPU-…`.
        library: another one than the driver's.
    """

    def __init__(self, uuid: str, library: str = _LIBRARY) -> None:
        self._library: ctypes.CDLL | None = None
        self._handle = ctypes.c_void_p()
        self._next = 0.0
        self._last: float | None = None
        try:
            found = ctypes.CDLL(library)
        except OSError:
            return
        known = found.nvmlInit_v2() == 0 and not found.nvmlDeviceGetHandleByUUID(
            uuid.encode(), ctypes.byref(self._handle)
        )
        self._library = found if known else None

    def load(self) -> float | None:
        """The share of the last moments in which it computed, for whomever; None is unknown."""
        now = time.monotonic()
        if self._library is not None and now >= self._next:
            self._next = now + _EVERY_S
            told = _Utilization()
            failed = self._library.nvmlDeviceGetUtilizationRates(self._handle, ctypes.byref(told))
            self._last = None if failed else told.gpu / 100
        return self._last
