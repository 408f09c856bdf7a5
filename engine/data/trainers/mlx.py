"""mlx-lm's LoRA trainer.

Knows ml-explore/mlx-lm@d78bf58 `mlx_lm/tuner/datasets.py`. It is not installed here (it needs
Apple's silicon), so the rules are as read, not as tried.
"""

from __future__ import annotations

from engine.data.trainers.base import (
    Facts,
    FileVerdict,
    Trainer,
    Value,
    flagged,
    kind,
    rule,
    turns_of,
)

_KEYS = {
    "completions": ("prompt", "completion"),
    "chat": ("messages",),
    "text": ("text",),
    "none": (),
}


def _shape(first: Value) -> str:
    """ml-explore/mlx-lm@d78bf58 `mlx_lm/tuner/datasets.py` create_dataset: `sample = data[0]`."""
    return next(
        (name for name, keys in _KEYS.items() if keys and all(key in first for key in keys)), "none"
    )


@rule("error", "workbench data convert --to messages")
def unsupported(value: Value, facts: Facts) -> str | None:
    """ml-explore/mlx-lm@d78bf58 `mlx_lm/tuner/datasets.py` create_dataset, of the first row."""
    if _shape(facts.first or value) == "none":
        return "ValueError: Unsupported data format"
    return None


@rule("error", "use one shape in the file")
def key_missing(value: Value, facts: Facts) -> str | None:
    """ml-explore/mlx-lm@d78bf58 `mlx_lm/tuner/datasets.py` process: `d[key]`."""
    for key in _KEYS[_shape(facts.first or value)]:
        if key not in value:
            return f"KeyError: '{key}': the first row decides the keys of all"
    return None


@rule("error", "delete the row, or give it text")
def not_text(value: Value, facts: Facts) -> str | None:
    """ml-explore/mlx-lm@d78bf58 `mlx_lm/tuner/datasets.py` TextDataset.process: encode, `d[-1]`."""
    if _shape(facts.first or value) != "text":
        return None
    text = value["text"]
    if not isinstance(text, str):
        return f"`text` is {kind(text)}: it cannot be encoded"
    return None if text else "`text` is empty: IndexError where the tokenizer adds nothing"


@rule("error", "delete the row, or give it turns")
def no_turns(value: Value, facts: Facts) -> str | None:
    """ml-explore/mlx-lm@d78bf58 `mlx_lm/tuner/datasets.py` ChatDataset.process: the template gets
    what is there."""
    if _shape(facts.first or value) != "chat":
        return None
    turns = value["messages"]
    if not isinstance(turns, list) or not turns:
        return f"`messages` is {'an empty list' if turns == [] else kind(turns)}"
    if any(not isinstance(turn, dict) or "role" not in turn for turn in turns):
        return "a turn without a `role`: the chat template refuses it or leaves it out"
    return None


@rule("altered", "take turns out that must not be learned, or set mask_prompt")
def flags_ignored(value: Value, _: Facts) -> str | None:
    """ml-explore/mlx-lm@d78bf58 `mlx_lm/tuner/datasets.py`: only `mask_prompt` masks, and all
    but the last turn."""
    name = flagged(turns_of(value), "train", "weight", "training", "train_detail")
    return f"`{name}` of a turn is ignored" if name else None


@rule("altered", "make it the first turn, with the role `system`")
def system_ignored(value: Value, _: Facts) -> str | None:
    """ml-explore/mlx-lm@d78bf58 `mlx_lm/tuner/datasets.py`: only turns and `tools` are read."""
    if value.get("system") and "messages" in value:
        return "the key `system` is not read"
    return None


def remarks(first: Value) -> list[FileVerdict]:
    """What follows from the first row, and from how files are found (load_local_dataset)."""
    said = [
        FileVerdict(
            0, "keep", "files", "train.jsonl and valid.jsonl are read from a folder",
            "workbench data split FILE --out DIR, then rename eval.jsonl to valid.jsonl",
        )
    ]  # fmt: skip
    if _shape(first) != "none":
        why = "every token is trained on, the prompt's too"
        remedy = "use --mask-prompt, which trains the last turn alone"
        if _shape(first) == "text":
            return said
        said.append(FileVerdict(0, "altered", "mask", why, remedy))
    return said


MLX = Trainer(
    "mlx",
    "mlx-lm",
    "ml-explore/mlx-lm@d78bf58",
    "mlx_lm.lora with its default keys",
    "json",
    (unsupported, key_missing, not_text, no_turns, flags_ignored, system_ignored),
    remarks,
)
