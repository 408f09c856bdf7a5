"""Model folders that are not what they say: told in two lines, naming the file and the key."""

from __future__ import annotations

import json
import shutil
import struct
from pathlib import Path
from typing import Any

import pytest

from engine.models.folder import describe
from engine.render import Renderer
from store.errors import BadInput, Unsupported, WorkbenchError


@pytest.fixture
def model(starter: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(starter, tmp_path / "model"))


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"architectures": 5}, "architectures"),
        ({"architectures": [5]}, "architectures"),
        ({"max_position_embeddings": "lots"}, "max_position_embeddings"),
        ({"vocab_size": [1]}, "vocab_size"),
        ({"hidden_size": -1}, "hidden_size"),
    ],
)
def test_a_wrong_key_of_the_config_is_named(
    changes: dict[str, Any], named: str, model: Path
) -> None:
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps({**config, **changes}))
    with pytest.raises(BadInput, match=rf"config\.json: key {named}"):
        describe(model)


def test_attention_that_is_code_from_elsewhere_is_refused(model: Path) -> None:
    config = json.loads((model / "config.json").read_text())
    for key in ("_attn_implementation_internal", "attn_implementation"):
        (model / "config.json").write_text(json.dumps({**config, key: "evil/kernel"}))
        with pytest.raises(Unsupported, match="run code"):
            describe(model)
    (model / "config.json").write_text(json.dumps({**config, "_attn_implementation": "sdpa"}))
    assert describe(model).parameters > 0


def _safetensors(header: bytes) -> bytes:
    return struct.pack("<Q", len(header)) + header


@pytest.mark.parametrize(
    ("name", "raw"),
    [
        ("config.json", b"[" * 200_000),
        ("config.json", b"[1, 2]"),
        ("config.json", b"\xff\xfe"),
        ("model.safetensors", struct.pack("<Q", 1 << 62)),
        ("model.safetensors", _safetensors(b"[1]")),
        ("model.safetensors", _safetensors(b"[" * 200_000)),
        ("model.safetensors.index.json", b'{"weight_map": [1]}'),
        ("model.safetensors.index.json", b'{"weight_map": {"a": "../../../etc/passwd"}}'),
    ],
)
def test_a_damaged_file_is_named(name: str, raw: bytes, model: Path) -> None:
    (model / name).write_bytes(raw)
    with pytest.raises(WorkbenchError, match=name.replace(".", r"\.")):
        describe(model)


@pytest.mark.parametrize(
    ("name", "raw"),
    [
        ("tokenizer.json", b"{}"),
        ("tokenizer_config.json", b"[" * 200_000),
        ("tokenizer_config.json", b"[]"),
        ("generation_config.json", b"{"),
        ("chat_template.jinja", b"\xff\xfe\xff"),
    ],
)
def test_a_damaged_file_of_the_tokenizer_is_named(name: str, raw: bytes, model: Path) -> None:
    (model / name).write_bytes(raw)
    with pytest.raises(WorkbenchError, match=name.replace(".", r"\.")):
        Renderer.load(model)


_FIXED = {"strategy": {"Fixed": 10**12}, "direction": "Right", "pad_to_multiple_of": None,
          "pad_id": 0, "pad_type_id": 0, "pad_token": "x"}  # fmt: skip
_BARE = {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<q>", "type_id": 0}}],
         "pair": [], "special_tokens": {}}  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"continuing_subword_prefix": "##"}, r"key model\.continuing_subword_prefix: .*'##'"),
        ({"continuing_subword_prefix": "##", "merges": [[]]}, "continuing_subword_prefix"),
        ({"normalizer": {"type": "Precompiled", "precompiled_charsmap": "AAAA"}}, "Precompiled"),
        ({"post_processor": _BARE}, "no entry found"),
        ({"padding": _FIXED}, ""),
    ],
)
def test_a_tokenizer_that_breaks_its_library_is_refused(
    changes: dict[str, object], words: str, model: Path
) -> None:
    """A fault there is no `Exception`, and filling up to a terabyte ends the process."""
    path = model / "tokenizer.json"
    found = json.loads(path.read_text())
    for key, value in changes.items():
        (found if key in found else found["model"])[key] = value
    path.write_text(json.dumps(found))
    if words:
        with pytest.raises(WorkbenchError, match=words):
            Renderer.load(model)
    else:
        assert Renderer.load(model).bos_id is not None
