"""llama.cpp's own converter and vocabularies, for benches that compare ours with them.

They ship inside the source distribution of llama-cpp-python, which pip fetches once into a cache
folder ($WORKBENCH_BENCH_CACHE, else ~/.cache/workbench-bench). Nothing but benches uses this.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
from importlib.metadata import version
from pathlib import Path


def llama_cpp() -> Path:
    """The `vendor/llama.cpp` folder of the installed version's source distribution.

    Raises:
        SystemExit: it cannot be fetched or unpacked; the text says why and what helps.
    """
    name = f"llama_cpp_python-{version('llama-cpp-python')}"
    found = _cache() / name / "vendor" / "llama.cpp"
    if not found.is_dir():
        _unpack(_archive(name), name)
    if not (found / "convert_hf_to_gguf.py").is_file():
        raise SystemExit(f"error: {found} holds no llama.cpp\n hint: delete {found.parents[1]}")
    return found


def _cache() -> Path:
    said = os.environ.get("WORKBENCH_BENCH_CACHE")
    folder = Path(said) if said else Path.home() / ".cache" / "workbench-bench"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _archive(name: str) -> Path:
    path = _cache() / f"{name}.tar.gz"
    if path.is_file():
        return path
    wanted = f"llama-cpp-python=={version('llama-cpp-python')}"
    print(f"fetching the sources of {wanted} (77 MB, once) …", flush=True)
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
    pip += ["--no-deps", "--no-binary", "llama-cpp-python", "--dest", str(path.parent), wanted]
    done = subprocess.run(pip, check=False, capture_output=True, text=True)
    if not path.is_file():
        why = (done.stderr.strip() or "pip named no reason").splitlines()[-1]
        raise SystemExit(
            f"error: the sources of {wanted} could not be fetched: {why}\n"
            f" hint: put {path.name} from PyPI into {path.parent}"
        )
    return path


def _unpack(archive: Path, name: str) -> None:
    partial = archive.parent / f"{name}.partial"
    try:
        with tarfile.open(archive, "r:gz") as tar:
            tar.extractall(partial, filter="data")
        (partial / name).rename(archive.parent / name)
    except (tarfile.TarError, EOFError, OSError) as error:
        raise SystemExit(
            f"error: {archive} cannot be unpacked: {error}\n hint: delete it and run this again"
        ) from error
    partial.rmdir()
