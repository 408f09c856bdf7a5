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
    _act("duplicate", "d", "duplicate row", "The same row once more, below.",
         "workbench data duplicate FILE --row N"),
    _act("move_down", "J", "move row down", "Swap the row with the next one.",
         "workbench data move FILE --row N --to M"),
    _act("move_up", "K", "move row up", "Swap the row with the one before.",
         "workbench data move FILE --row N --to M"),
    _act("tag", "number_sign", "tag", "Give the row, or all marked rows, a tag; or take one off.",
         "workbench data tag FILE --row N TAG"),
    _act("note", "c", "note", "Write a note beside the row, or beside all marked rows.",
         "workbench data note FILE --row N TEXT"),
    _act("diff", "D", "diff", "Before and after of every row the file does not have like this.",
         "workbench data diff FILE"),
    _act("versions", "V", "versions", "What the file was at each save; bring one back.",
         "workbench data versions FILE"),
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
    _act("edit_json", "E", "edit JSON", "Edit the row as JSON, checked while you type.", _SET),
    _act("ids", "i", "token ids", "Show the id under each token.", _SHOW),
    _act("mask", "M", "mask as text", "Write the loss mask as text: ▐trained▌.", _SHOW),
    _act("length", "L", "max length", "Set the max_length at which rows are shown as cut.",
         _SHOW),
    _act("pen_keep", "ctrl+s", "keep", "Keep what was written as one edit; u takes it back.",
         _SET, show=True, palette=False),
    _act("pen_turn", "ctrl+l,f2", "turn …", "Role, order, add, delete, split, merge, train or not.",
         show=True, palette=False),
    _act("pen_add", "ctrl+n", "new turn", "Add a turn after the one under the pen.", show=True,
         palette=False),
    _act("pen_up", "alt+up", "turn up", "Move the turn under the pen up.", palette=False),
    _act("pen_down", "alt+down", "turn down", "Move the turn under the pen down.", palette=False),
    _act("pen_role", "f3", "role", "Choose another role for the turn under the pen.",
         palette=False),
    _act("pen_tokens", "f4", "tokens", "Show the tokens of what is written, while it is written.",
         show=True, palette=False),
    _act("pen_outside", "ctrl+e", "$EDITOR", "Write the text, or from the list the row, in $VISUAL "
         "or $EDITOR.", show=True),
)  # fmt: skip
