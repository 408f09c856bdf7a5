"""The Train room's rows of the table of actions."""

from __future__ import annotations

from screens.actions import Action


def _act(name: str, key: str, label: str, tooltip: str, command: str = "", *,
         show: bool = False, palette: bool = True, when: str = "") -> Action:  # fmt: skip
    return Action(f"train.{name}", key, label, tooltip, "train", command, show, palette, when)


_TRAIN = "workbench train FILE --model REF --recipe NAME --set key=value"

ACTIONS: tuple[Action, ...] = (
    _act("start", "ctrl+s", "start", "Start the run that the form describes.", _TRAIN, show=True),
    _act("more", "f2", "more fields", "Show every setting of the recipe, or the usual ones.",
         "workbench train --help", show=True),
    _act("pause", "space", "pause", "Pause the run after its step; space again lets it go on.",
         "workbench pause RUN", show=True, when="training"),
    _act("resume", "r,space", "resume", "Go on exactly where the run ended.",
         "workbench resume RUN", show=True, when="at rest"),
    _act("stop", "x", "stop", "Stop the run after its step; it keeps a checkpoint to resume from.",
         "workbench stop RUN", show=True),
    _act("checkpoint", "k", "checkpoint", "Write a checkpoint now.", "workbench checkpoint RUN",
         show=True),
    _act("overlay", "o", "overlay", "Lay other runs over this one, or take them off.", show=True),
    _act("zoom", "z", "zoom", "Zoom in around the crosshair, or the newest step.", show=True),
    _act("log", "l", "log", "Show the log of the training process in place of the events.",
         "workbench log RUN", show=True),
    _act("probes", "p", "probes", "Show sample answers, base beside adapter; again: next prompt.",
         "workbench show RUN", show=True),
    _act("chat", "c", "chat", "Chat with base and adapter side by side.",
         "workbench chat --model starter --model run:ID --prompt TEXT", show=True),
    _act("export", "e", "export", "Export this run.", "workbench export run:ID --to gguf",
         show=True),
    _act("new", "n", "new run", "Describe another run.", _TRAIN, show=True),
    _act("meaning", "w", "what it means", "Read the diagnosis in full: evidence, advice, knob.",
         "workbench diagnose RUN"),
    _act("grid", "g", "all charts", "Show every chart at once; again: further ones."),
    _act("full", "f", "full screen", "Show one chart on the whole screen, or the panel again."),
    _act("suites", "t", "checks", "Show what check suites found at every evaluation."),
    _act("checkpoints", "K", "checkpoints",
         "List the checkpoints: pin one, fork from it, chat with it, export it.",
         "workbench checkpoints RUN"),
    _act("extend", "E", "extend", "Train on, by more steps, epochs, tokens or minutes.",
         "workbench extend RUN --steps N"),
    _act("fork", "F", "fork", "Begin a new run from the newest checkpoint, with another setting.",
         "workbench fork RUN --step N --set key=value"),
    _act("queue", "Q", "queue", "Show the runs that wait: move one, take one out.",
         "workbench queue"),
    _act("chart_after", "down,j", "next chart", "Show the next metric in the chart."),
    _act("chart_before", "up", "chart before", "Show the metric before in the chart."),
    _act("probes_back", "P", "prompt before", "Show the prompt before this one."),
    _act("difference", "d", "differences",
         "Underline what differs from the answer before, from the base's, or nothing."),
    _act("log_scale", "y", "log scale", "Draw the charts by their logarithm, or plainly."),
    _act("smooth", "s", "smooth", "Take a wider moving average, or none; the raw curve stays."),
    _act("clip", "u", "clip spikes", "Leave far values out of view, marked at the border, or in."),
    _act("zoom_out", "Z", "zoom out", "Show more steps."),
    _act("zoom_reset", "0", "all steps", "Show every step and put the crosshair away."),
    _act("event_before", "comma", "event before", "Put the crosshair on what happened before."),
    _act("event_after", "full_stop", "next event", "Put the crosshair on what happened next."),
    _act("back", "escape", "back", "Leave the form, a view, or the crosshair.", palette=False),
    _act("cursor_left", "left,h", "back a step",
         "Read every chart one step to the left, or the answers of the evaluation before.",
         palette=False),
    _act("cursor_right", "right", "on a step",
         "Read every chart one step to the right, or the answers of the next evaluation.",
         palette=False),
    _act("pan_left", "left_square_bracket", "pan left", "Move the zoomed view to the left.",
         palette=False),
    _act("pan_right", "right_square_bracket", "pan right", "Move the zoomed view to the right.",
         palette=False),
    _act("tail_up", "pageup", "scroll up", "Read earlier events, or earlier in the log.",
         palette=False),
    _act("tail_down", "pagedown", "scroll down", "Read later events, or later in the log.",
         palette=False),
)  # fmt: skip
