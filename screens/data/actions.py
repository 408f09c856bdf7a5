"""The Data room's rows of the table of actions."""

from __future__ import annotations

from screens.actions import Action


def _act(name: str, key: str, label: str, tooltip: str, command: str = "", *,
         show: bool = False, palette: bool = True) -> Action:  # fmt: skip
    return Action(f"data.{name}", key, label, tooltip, "data", command, show, palette)


_SET = "workbench data set FILE --row N --set messages.0.content=TEXT"
_SHOW = "workbench data preview FILE --row N --model REF"

ACTIONS: tuple[Action, ...] = (
    _act("side", "enter", "row", "Show the row alone on a narrow screen; esc leaves.",
         show=True, palette=False),
    _act("edit", "e", "edit", "Edit one turn of the row; the file changes only when you save.",
         _SET, show=True),
    _act("undo", "u", "undo", "Take the last edit back; works across restarts and saves.",
         "workbench data undo FILE", show=True),
    _act("save", "s", "save", "Write the edits into the file; untouched lines stay byte for byte.",
         "workbench data save FILE", show=True),
    _act("find", "slash", "find", "Find words in the rows; n and N go on.",
         "workbench data search FILE WORDS", show=True),
    _act("tokens", "t", "tokens", "Show the token ids that training sees, trained ones marked.",
         _SHOW, show=True),
    _act("next_bad", "exclamation_mark", "bad row", "Go to the next row that cannot be read.",
         "workbench data info FILE", show=True),
    _act("open", "o", "open", "Open another dataset: a file of any format, or several by pattern.",
         "workbench --open FILE", show=True),
    _act("redo", "ctrl+r", "redo", "Do again what was undone.", "workbench data redo FILE"),
    _act("train", "T", "train", "Train on this file.", "workbench train FILE --model REF"),
    _act("model", "m", "model", "Choose the model whose template and tokens are shown.", _SHOW),
    _act("copy", "y", "copy", "Copy the row as JSON.", "workbench data show FILE --row N"),
    _act("mark", "space", "mark", "Mark the row and go on; x # c R then mean all marked rows."),
    _act("mark_range", "v", "mark range", "Begin a range here; v again marks up to the cursor."),
    _act("mark_all", "A", "mark all", "Mark all rows that are listed; again takes the marks off."),
    _act("delete", "x", "delete row", "Take the row away, or all marked rows; u brings them back.",
         "workbench data delete FILE --row N"),
    _act("jump", "colon", "go to", "Go to a row by its number, or by a share: 120000, 50%."),
    _act("goto", "g", "top", "Go to the first row.", palette=False),
    _act("bottom", "G", "bottom", "Go to the last row.", palette=False),
    _act("down", "j", "down", "Next row.", palette=False),
    _act("up", "k", "up", "Row before.", palette=False),
    _act("half_down", "ctrl+d", "half page down", "Half a page down.", palette=False),
    _act("half_up", "ctrl+u", "half page up", "Half a page up.", palette=False),
    _act("find_next", "n", "next match", "Next match of the search.", palette=False),
    _act("find_previous", "N", "match before", "Match before.", palette=False),
    _act("back", "escape", "back",
         "Leave the row or the search; then marks and views go, one by one.", palette=False),
)  # fmt: skip
