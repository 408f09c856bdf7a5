"""The Train room's rows of the table of actions."""

from __future__ import annotations

from screens.actions import Action


def _act(name: str, key: str, label: str, tooltip: str, command: str = "", *,
         show: bool = False, palette: bool = True) -> Action:  # fmt: skip
    return Action(f"train.{name}", key, label, tooltip, "train", command, show, palette)


_TRAIN = "workbench train FILE --model REF --recipe NAME --set key=value"

ACTIONS: tuple[Action, ...] = (
    _act("start", "ctrl+s", "start", "Start the run that the form describes.", _TRAIN, show=True),
    _act("more", "f2", "more fields", "Show every setting of the recipe, or the usual ones.",
         "workbench train --help", show=True),
    _act("pause", "space", "pause", "Pause the run after its step, or let a paused one go on.",
         show=True),
    _act("stop", "x", "stop", "Stop the run after its step; it keeps a checkpoint to resume from.",
         "workbench stop RUN", show=True),
    _act("resume", "r", "resume", "Go on exactly where the run ended.", "workbench resume RUN",
         show=True),
    _act("checkpoint", "k", "checkpoint", "Write a checkpoint now.", show=True),
    _act("chat", "c", "chat", "Chat with base and adapter side by side.",
         "workbench chat --model starter --model run:ID --prompt TEXT", show=True),
    _act("export", "e", "export", "Export this run.", "workbench export run:ID --to gguf",
         show=True),
    _act("overlay", "o", "overlay", "Lay another run's loss over this one, or take it off.",
         show=True),
    _act("zoom", "z", "zoom", "Zoom in around the crosshair, or the newest step.", show=True),
    _act("log", "l", "log", "Show the log of the training process in place of the events.",
         "workbench log RUN", show=True),
    _act("probes", "p", "probes", "Show the next sample answer, base above, adapter below.",
         "workbench show RUN", show=True),
    _act("new", "n", "new run", "Describe another run.", _TRAIN, show=True),
    _act("log_scale", "y", "log scale", "Draw the loss by its logarithm, or plainly."),
    _act("smooth", "s", "smooth", "Draw a moving average over the raw loss, or the loss alone."),
    _act("zoom_out", "Z", "zoom out", "Show more steps."),
    _act("zoom_reset", "0", "all steps", "Show every step and put the crosshair away."),
    _act("back", "escape", "back", "Leave the form or the sample answers.", palette=False),
    _act("cursor_left", "left,h", "back a step", "Read the curves one step to the left.",
         palette=False),
    _act("cursor_right", "right", "on a step", "Read the curves one step to the right.",
         palette=False),
    _act("pan_left", "left_square_bracket", "pan left", "Move the zoomed view to the left.",
         palette=False),
    _act("pan_right", "right_square_bracket", "pan right", "Move the zoomed view to the right.",
         palette=False),
)  # fmt: skip
