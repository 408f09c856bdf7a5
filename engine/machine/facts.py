"""What the machine has, without importing torch: cores, memory, bf16 on the CPU, NVIDIA devices.

Knows /proc, psutil and the CUDA driver library. Does not know whether torch can use any of it;
workers check that and say so.
"""

from __future__ import annotations

import ctypes
import functools
import importlib.metadata
import platform
import sqlite3
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

LIBRARIES = [
    "torch",
    "transformers",
    "peft",
    "trl",
    "bitsandbytes",
    "accelerate",
    "datasets",
    "tokenizers",
    "safetensors",
    "numpy",
]


@dataclass(frozen=True, slots=True)
class Gpu:
    """One NVIDIA device. `memory` in bytes; `capability` as major, minor."""

    name: str
    memory: int
    capability: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Machine:
    """The facts that a run keeps about where it ran. `memory` in bytes."""

    system: str
    python: str
    cpu: str
    cores: int
    memory: int
    cpu_bf16: bool
    gpus: tuple[Gpu, ...]

    def words(self) -> str:
        """A few words for the top line, e.g. `2 cores · 24 GB`, or the GPU and its memory."""
        if self.gpus:
            return f"{self.gpus[0].name} · {self.gpus[0].memory / 2**30:.0f} GB"
        return f"{self.cores} cores · {self.memory / 2**30:.0f} GB"

    @property
    def device(self) -> str:
        """Where a run goes: `cuda` with a device and a torch built for it, else `cpu`."""
        return "cuda" if self.gpus and not _version("torch").endswith("+cpu") else "cpu"

    def as_dict(self) -> dict[str, object]:
        """For the record, as JSON values."""
        return {**asdict(self), "device": self.device}


@functools.cache
def this_machine() -> Machine:
    """Look once and remember."""
    cpu, flags = _cpu()
    return Machine(
        system=platform.platform(),
        python=platform.python_version(),
        cpu=cpu,
        cores=psutil.cpu_count(logical=False) or psutil.cpu_count() or 1,
        memory=psutil.virtual_memory().total,
        cpu_bf16=bool({"avx512_bf16", "amx_bf16"} & flags),
        gpus=tuple(_gpus()),
    )


def has_amx() -> bool:
    """Whether the processor has AMX: some builds of llama.cpp die in their code for it."""
    return "amx_int8" in _cpu()[1]


def versions() -> dict[str, str]:
    """Versions of the libraries that decide what a run computes."""
    found = {name: _version(name) for name in LIBRARIES}
    found["python"] = platform.python_version()
    found["sqlite"] = sqlite3.sqlite_version
    return {name: version for name, version in found.items() if version}


@functools.cache
def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _cpu() -> tuple[str, set[str]]:
    info = Path("/proc/cpuinfo")
    if not info.is_file():
        return platform.processor() or platform.machine(), set()
    name, flags = platform.machine(), set[str]()
    for line in info.read_text().split("\n\n")[0].splitlines():
        key, _, value = line.partition(":")
        if key.strip() == "model name":
            name = value.strip()
        elif key.strip() == "flags":
            flags = set(value.split())
    return name, flags


def _gpus() -> list[Gpu]:
    """Ask the CUDA driver directly; an empty list where there is none."""
    try:
        cuda = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return []
    count = ctypes.c_int()
    if cuda.cuInit(0) != 0 or cuda.cuDeviceGetCount(ctypes.byref(count)) != 0:
        return []
    found = []
    for index in range(count.value):
        device, major, minor = ctypes.c_int(), ctypes.c_int(), ctypes.c_int()
        name, memory = ctypes.create_string_buffer(128), ctypes.c_size_t()
        cuda.cuDeviceGet(ctypes.byref(device), index)
        cuda.cuDeviceGetName(name, 128, device)
        cuda.cuDeviceTotalMem_v2(ctypes.byref(memory), device)
        # 75 and 76: CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR and _MINOR.
        cuda.cuDeviceGetAttribute(ctypes.byref(major), 75, device)
        cuda.cuDeviceGetAttribute(ctypes.byref(minor), 76, device)
        found.append(Gpu(name.value.decode(), memory.value, (major.value, minor.value)))
    return found
