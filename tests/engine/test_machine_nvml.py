"""How busy a GPU is: asked of a library with the driver's interface, and unknown without one."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from engine.machine.nvml import Meter

DRIVER = """
#include <string.h>
struct utilization { unsigned int gpu, memory; };
int nvmlInit_v2(void) { return 0; }
int nvmlDeviceGetHandleByUUID(const char *uuid, void **handle) {
    *handle = (void *)0x123456789abc;
    return strcmp(uuid, "GPU-known") ? 6 : 0;
}
int nvmlDeviceGetUtilizationRates(void *handle, struct utilization *found) {
    if (handle != (void *)0x123456789abc) return 2;
    found->gpu = 87; found->memory = 40;
    return 0;
}
"""


def test_the_load_is_a_share_or_unknown(tmp_path: Path) -> None:
    assert Meter("GPU-known", str(tmp_path / "none.so")).load() is None
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler")
    library = tmp_path / "libnvidia-ml.so.1"
    built = [compiler, "-shared", "-fPIC", "-x", "c", "-", "-o", str(library)]
    subprocess.run(built, input=DRIVER, text=True, check=True)
    assert Meter("GPU-known", str(library)).load() == 0.87
    assert Meter("GPU-other", str(library)).load() is None
