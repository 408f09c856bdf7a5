"""The Export room's rows of the table of actions."""

from __future__ import annotations

from screens.actions import Action


def _act(name: str, key: str, label: str, tooltip: str, command: str = "", *,
         show: bool = False, palette: bool = True, when: str = "") -> Action:  # fmt: skip
    return Action(f"export.{name}", key, label, tooltip, "export", command, show, palette, when)


_EXPORT = "workbench export REF --to gguf --type q8_0,q4_k_m --out PATH"

ACTIONS: tuple[Action, ...] = (
    _act("start", "ctrl+s", "export", "Write what is ticked, and prove each file.", _EXPORT,
         show=True),
    _act("tick", "space,enter", "tick", "Write this type too, or leave it out.",
         "workbench sizes REF --memory 8GB --context 4096", show=True, palette=False,
         when="the form is shown"),
    _act("more", "m", "more", "Divide into parts, or convert with a checkout of llama.cpp.",
         "workbench export REF --shard 4GB --llama-cpp DIR", show=True, palette=False,
         when="the form is shown"),
    _act("read", "space", "read on", "The next page of the proof, after the last the first.",
         palette=False, when="the list is shown"),
    _act("cancel", "x", "cancel", "Stop what is being written or proved; nothing stays behind.",
         show=True),
    _act("new", "n", "new export", "Describe another export.", _EXPORT, show=True),
    _act("chat", "c", "chat", "Chat with the file beside the trained model and its base.",
         "workbench chat --model BASE --model REF --model FILE.gguf --prompt TEXT", show=True),
    _act("copy", "y", "use it", "Copy a line that runs, serves or imports the file, or its path.",
         "workbench serve FILE.gguf", show=True),
    _act("verify", "v", "verify", "Prove this export once more against the trained model.",
         "workbench verify FILE --against REF", show=True),
    _act("compare", "p", "compare", "Plot every type of this model: size against divergence.",
         show=True),
    _act("limits", "i", "limits", "Say what each stage compares, its limits and their source."),
    _act("foreign", "V", "verify file", "Prove a file that somebody else made against a model.",
         "workbench verify FILE --against REF"),
    _act("delete", "D", "delete", "Delete this export and what lies beside it, after asking.",
         "workbench exports --delete ID"),
    _act("back", "escape", "exports", "Go to the list of exports.", show=True, palette=False),
    _act("down", "j", "down", "Next export or type.", palette=False),
    _act("up", "k", "up", "Export or type before.", palette=False),
    _act("goto", "g", "top", "Newest export, largest type.", palette=False),
    _act("bottom", "G", "bottom", "Oldest export, smallest type.", palette=False),
)  # fmt: skip
