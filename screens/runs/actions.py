"""The Runs room's rows of the table of actions."""

from __future__ import annotations

from screens.actions import Action


def _act(name: str, key: str, label: str, tooltip: str, command: str = "", *,
         show: bool = False, palette: bool = True) -> Action:  # fmt: skip
    return Action(f"runs.{name}", key, label, tooltip, "runs", command, show, palette)


ACTIONS: tuple[Action, ...] = (
    _act("open", "enter", "watch", "Show this run in the Train room.", "workbench show RUN",
         show=True),
    _act("select", "space", "compare", "Take this run as A, another as B, and compare the two.",
         show=True),
    _act("chat", "c", "chat", "Chat with this run beside its base, or with A beside B.",
         "workbench chat --model REF --model REF --prompt TEXT", show=True),
    _act("export", "e,X", "export", "Export this run's best checkpoint.",
         "workbench export run:ID --to gguf", show=True),
    _act("check", "C", "checks", "Compare its checkpoints on check suites.",
         "workbench check SUITE --run RUN"),
    _act("review", "V", "review", "Judge answers of its checkpoints blind, one key each.",
         "workbench vote --run RUN"),
    _act("resume", "r", "resume", "Go on exactly where the run ended.", "workbench resume RUN",
         show=True),
    _act("stop", "x", "stop", "Stop the run after its step; it keeps a checkpoint to resume from.",
         "workbench stop RUN", show=True),
    _act("note", "n", "note", "Write a note about this run.", show=True),
    _act("rename", "R", "rename", "Give this run another name."),
    _act("report", "w", "report", "Write everything about this run as one file.",
         "workbench report RUN --out FILE"),
    _act("weigh", "v", "what follows", "Say whether A and B differ by more than the seed would.",
         "workbench compare RUN RUN"),
    _act("again", "A", "repeat", "Train this run again from its records, to compare the two.",
         "workbench reproduce RUN"),
    _act("new", "t", "new run", "Describe a run in the Train room.",
         "workbench train FILE --model REF"),
    _act("log_scale", "y", "log scale", "Draw the loss by its logarithm, or plainly."),
    _act("smooth", "s", "smooth", "Draw a moving average over the raw loss, or the loss alone."),
    _act("back", "escape", "back", "Compare nothing.", palette=False),
    _act("down", "j", "down", "Next run.", palette=False),
    _act("up", "k", "up", "Run before.", palette=False),
    _act("goto", "g", "top", "Newest run.", palette=False),
    _act("bottom", "G", "bottom", "Oldest run.", palette=False),
)  # fmt: skip
