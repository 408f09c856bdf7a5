"""The Export room's rows of the table of actions."""

from __future__ import annotations

from screens.actions import Action


def _act(name: str, key: str, label: str, tooltip: str, command: str = "", *,
         show: bool = False, palette: bool = True) -> Action:  # fmt: skip
    return Action(f"export.{name}", key, label, tooltip, "export", command, show, palette)


_EXPORT = "workbench export REF --to gguf --type f16 --out PATH"

ACTIONS: tuple[Action, ...] = (
    _act("start", "ctrl+s", "export", "Write the model to a file and prove it.", _EXPORT,
         show=True),
    _act("cancel", "x", "cancel", "Stop what is being written or proved; nothing stays behind.",
         show=True),
    _act("chat", "c", "chat", "Chat with the exported file.",
         "workbench chat --model FILE.gguf --prompt TEXT", show=True),
    _act("verify", "v", "verify", "Prove this export once more against the trained model.",
         "workbench verify FILE --against REF", show=True),
    _act("new", "n", "new export", "Describe another export.", _EXPORT, show=True),
    _act("copy", "y", "copy path", "Copy the path of this export.", show=True),
    _act("back", "escape", "back", "Go to the list of exports.", palette=False),
    _act("down", "j", "down", "Next export.", palette=False),
    _act("up", "k", "up", "Export before.", palette=False),
    _act("goto", "g", "top", "Newest export.", palette=False),
    _act("bottom", "G", "bottom", "Oldest export.", palette=False),
)  # fmt: skip
