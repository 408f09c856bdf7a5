"""The Checks room's rows of the table of actions."""

from __future__ import annotations

from screens.actions import Action


def _act(name: str, key: str, label: str, tooltip: str, command: str = "", *,
         show: bool = False, palette: bool = True) -> Action:  # fmt: skip
    return Action(f"checks.{name}", key, label, tooltip, "checks", command, show, palette)


ACTIONS: tuple[Action, ...] = (
    _act("ask", "enter", "ask", "Ask base and every checkpoint what was not asked yet.",
         "workbench check SUITE --run RUN", show=True),
    _act("halt", "x", "stop", "Stop asking; answers that arrived are kept.",
         "workbench check --stop JOB", show=True),
    _act("run", "o", "run", "Choose the run whose checkpoints are checked.", show=True),
    _act("suites", "s", "suites", "Choose the check suites, by name or file.", show=True),
    _act("earlier", "left_square_bracket,left", "before", "The checkpoint before.", show=True),
    _act("later", "right_square_bracket,right", "next", "The next checkpoint."),
    _act("promote", "P", "promote", "Let chat, export and the run list use this checkpoint.",
         "workbench promote RUN@STEP", show=True),
    _act("chat", "c", "chat", "Chat with this checkpoint beside the base.",
         "workbench chat --model REF --model REF --prompt TEXT", show=True),
    _act("way", "v", "lost or won", "Show what was lost against the base, what was won, or all."),
    _act("label", "l", "label", "Judge what a model judged yourself, one key an answer.",
         "workbench vote --model REF --suite NAME"),
    _act("export", "e", "export", "Export this checkpoint.",
         "workbench export run:ID@STEP --to gguf"),
    _act("down", "j", "down", "Next line.", palette=False),
    _act("up", "k", "up", "Line before.", palette=False),
    _act("goto", "g", "top", "First line.", palette=False),
    _act("bottom", "G", "bottom", "Last line.", palette=False),
)  # fmt: skip
