"""(heavy) What torch, bitsandbytes and llama.cpp can do here, as one JSON object.

Tries each thing rather than trusting a version number. Run as `python -m engine.machine.worker`.
"""

from __future__ import annotations

import json
import os
import sys

import torch

from engine.machine.facts import this_machine


def main() -> None:
    """Print the facts as the last line of standard output."""
    facts = {**_torch(), **_nf4(), **_llama()}
    sys.stdout.write(json.dumps(facts) + "\n")


def _torch() -> dict[str, object]:
    cuda = torch.cuda.is_available()
    return {
        "torch": torch.__version__,
        "cuda": cuda,
        "gpu": torch.cuda.get_device_name(0) if cuda else None,
        "threads": torch.get_num_threads(),
        "bf16": torch.cuda.is_bf16_supported() if cuda else this_machine().cpu_bf16,
    }


def _nf4() -> dict[str, object]:
    """Quantise a matrix to NF4 and back, and report the error that NF4 should have."""
    try:
        from bitsandbytes import functional
    except (ImportError, OSError, RuntimeError) as error:
        return {"nf4": False, "nf4_detail": str(error)}
    device = "cuda" if torch.cuda.is_available() else "cpu"
    weight = torch.randn(64, 64, generator=torch.Generator().manual_seed(0)).to(device)
    packed, state = functional.quantize_4bit(weight, quant_type="nf4", compress_statistics=True)
    back = functional.dequantize_4bit(packed, state)
    off = float((back - weight).norm() / weight.norm())
    return {"nf4": off < 0.15, "nf4_detail": f"round trip off by {off:.1%} on {device}"}


def _llama() -> dict[str, object]:
    os.environ["GGML_NO_BACKTRACE"] = "1"
    try:
        import llama_cpp
    except (ImportError, OSError, RuntimeError) as error:
        return {"llama_cpp": None, "llama_detail": str(error)}
    gpu = bool(llama_cpp.llama_supports_gpu_offload())
    return {"llama_cpp": llama_cpp.__version__, "llama_detail": "GPU" if gpu else "CPU"}


if __name__ == "__main__":
    main()
