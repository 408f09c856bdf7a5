"""Every kind of row is trained for real: what reaches the model is what was shown."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from engine.train import client
from engine.train import spec as specs
from engine.train.control import Control
from engine.train.fit.probing import Fitting
from engine.train.recording import Recorder
from engine.train.worker import _set_up
from store.catalogue import Catalogue
from store.runwriter import RunWriter
from tests.engine.test_train_faults import device_taken
from tests.engine.train_fixtures import ended, small_recipe, wait
from workbench.cli import app

# No generation marks; tools, calls and reasoning; thinking that only the last turn keeps.
TEMPLATE = (
    "{{ bos_token }}{% if tools %}<|system|>\n{% for t in tools %}{{ t | tojson }}\n{% endfor %}"
    "<|end|>\n{% endif %}{% for m in messages %}<|{{ 'user' if m.role == 'tool' else m.role }}|>\n"
    "{% if m.role == 'assistant' and loop.last %}[{{ m.reasoning_content or '' }}] {% endif %}"
    "{{ m.content }}{% for c in m.tool_calls or [] %}call {{ c.function.name }} "
    "{{ c.function.arguments | tojson }}{% endfor %}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)
CALL = {"id": "a1", "type": "function", "function": {"name": "add", "arguments": '{"a": 1}'}}
TOOL = {"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}
ROWS: list[dict[str, Any]] = [
    {
        "messages": [
            {"role": "user", "content": "What is 1 more than 1?"},
            {"role": "assistant", "content": None, "tool_calls": [CALL]},
            {"role": "tool", "tool_call_id": "a1", "content": "2"},
            {"role": "assistant", "content": "Two.", "reasoning_content": "I called."},
        ],
        "tools": [TOOL],
    },
    {
        "messages": [
            {"role": "user", "content": "One?", "train": True},
            {"role": "assistant", "content": "Not this.", "train": False},
            {"role": "user", "content": "Two? é中🦊"},
            {
                "role": "assistant",
                "content": [
                    {"type": "text", "text": "Not so. ", "train": False},
                    {"type": "text", "text": "But so.", "train": True},
                ],
            },
        ]
    },
    {"text": "Plain text is trained from end to end."},
    {"input_ids": [1, 3, 204, 40, 41, 5], "labels": [-100, -100, -100, 40, 41, 5]},
    {"segments": [{"label": False, "text": "Ask: "}, {"label": True, "text": "Say.<|end|>"}]},
    {"conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "word " * 160}]},
]


def test_ids_and_labels_that_reach_the_model_are_those_shown(
    cat: Catalogue, starter: Path, tmp_path: Path
) -> None:
    model = tmp_path / "model"
    shutil.copytree(starter, model)
    (model / "chat_template.jinja").write_text(TEMPLATE)
    data = tmp_path / "rows.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    recipe = small_recipe(
        "max_steps=3",
        "per_device_train_batch_size=2",
        "test_size=0",
        "max_length=128",
        "probe_tokens=0",
        "save_steps=100",
    )
    with device_taken(cat.workspace):
        run = client.start(cat, data, str(model), recipe)
        client.stop(cat, run.id)
        wait(cat, run.id, ended)
    reached = _reached(cat, run.id)
    shown = []
    for row in range(1, len(ROWS) + 1):
        arguments = ["data", "preview", str(data), "--row", str(row), "--model", str(model)]
        arguments += ["--max-length", "128", "--workspace", str(cat.workspace.root), "--json"]
        told = json.loads(CliRunner().invoke(app, arguments).stdout)
        assert told["trained_tokens"] > 0, told
        pairs = zip(told["ids"], told["mask"], strict=True)
        shown.append((told["ids"], [token if kept else -100 for token, kept in pairs]))
    assert told["cut_at"] == 128 == len(told["ids"])
    assert sorted(reached) == sorted(shown)


def _reached(cat: Catalogue, run_id: int) -> list[tuple[list[int], list[int]]]:
    """Train, and take down every row that goes into the model."""
    folder = cat.workspace.run_dir(run_id)
    reached: list[tuple[list[int], list[int]]] = []
    with RunWriter.open(folder / specs.DATABASE) as writer:
        control = Control(cat.workspace, run_id)
        trainer = _set_up(specs.read(folder), Recorder(writer, folder), control)

        def watch(_module: object, _args: object, given: dict[str, Any]) -> None:
            batch = (given[name].tolist() for name in ("input_ids", "labels", "attention_mask"))
            for ids, labels, seen in zip(*batch, strict=True):
                n = sum(seen)
                reached.append((ids[:n], labels[:n]))

        trainer.model.get_base_model().register_forward_pre_hook(watch, with_kwargs=True)
        trainer.remove_callback(Fitting)  # Its probe would be seen as well.
        trainer.train()
        control.close()
    return reached
