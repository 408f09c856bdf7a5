"""llama.cpp's own converter on one model folder: `python -m bench.theirs VENDOR FOLDER OUT TYPE`.

Runs in a process of its own, with the gguf package that belongs to that converter. The starter's
way to cut text is not in its list and most families want a file of SentencePiece, so that the
tokenizer's part is put in its mouth: tokenizers are compared in `bench.vocabularies`.
"""

from __future__ import annotations

import runpy
import sys
from pathlib import Path
from typing import Any

PRE = "gpt-2"


def main() -> None:
    """Convert, and leave by the converter's own exit code."""
    vendor, folder, out, type_name = sys.argv[1:]
    sys.path[:0] = [vendor, str(Path(vendor) / "gguf-py")]
    import transformers

    # A family's own class would add tokens to the starter's.
    transformers.AutoTokenizer = transformers.PreTrainedTokenizerFast
    import conversion  # type: ignore[import-not-found]
    from conversion.base import TextModel  # type: ignore[import-not-found]

    found = conversion.get_model_class

    def get_model_class(*args: Any, **settings: Any) -> Any:
        model = found(*args, **settings)
        model.set_vocab = TextModel._set_vocab_gpt2
        return model

    conversion.get_model_class = get_model_class
    TextModel.get_vocab_base_pre = lambda _model, _tokenizer: PRE
    sys.argv = ["convert_hf_to_gguf.py", folder, "--outfile", out, "--outtype", type_name]
    runpy.run_path(str(Path(vendor) / "convert_hf_to_gguf.py"), run_name="__main__")


if __name__ == "__main__":
    main()
