"""The Chat room's rows of the table of actions."""

from __future__ import annotations

from screens.actions import Action

_VOTE = "workbench vote --model REF --model REF"
_CHAT = "workbench chat --model REF --model REF --prompt TEXT"


def _act(name: str, key: str, label: str, tooltip: str, command: str = "", *,
         show: bool = False, palette: bool = True,
         when: str = "") -> Action:  # fmt: skip
    return Action(f"chat.{name}", key, label, tooltip, "chat", command, show, palette, when)


ACTIONS: tuple[Action, ...] = (
    _act("send", "enter", "send", "Send the prompt to every column.", _CHAT, show=True,
         palette=False),
    _act("newline", "ctrl+j", "newline", "A new line in the prompt.", show=True, palette=False),
    _act("stop", "escape", "stop", "Stop answering.", show=True, palette=False,
         when="answering"),
    _act("keys", "escape", "keys", "Leave the prompt, so that the keys below work.", show=True,
         palette=False, when="writing"),
    _act("prompt", "i", "write", "Go to the prompt.", show=True, palette=False),
    _act("left_better", "less_than_sign,comma", "A better",
         "The left answer is better; again takes it back.", _VOTE, show=True, when="answered"),
    _act("right_better", "greater_than_sign,full_stop", "B better",
         "The right answer is better; again takes it back.", _VOTE, show=True, when="answered"),
    _act("tie", "equals_sign", "tie", "Both are as good.", _VOTE, show=True, when="answered"),
    _act("both_bad", "x", "both bad", "Neither is any good.", _VOTE, when="answered"),
    _act("add", "a", "add", "Add the column's conversation to a dataset, as an example to learn.",
         show=True, when="answered"),
    _act("edit_add", "e", "edit+add", "Correct the answer, then add it as an example.", show=True,
         when="answered"),
    _act("differences", "d", "diff", "Underline the words that the other answer does not have.",
         show=True, when="answered"),
    _act("tokens", "t", "tokens", "The exact tokens of the question and the answer.",
         when="asked"),
    _act("pairs", "p", "votes to rows", "Add the votes of this chat to a dataset, as chosen and "
         "rejected.", "workbench vote --export FILE"),
    _act("show_added", "o", "show row", "Show what was added last, in the Data room.",
         when="added"),
    _act("shelf", "f", "dataset", "Choose the dataset that examples are added to."),
    _act("review", "w", "review", "Judge many answers one after the other, blind; go on later.",
         "workbench vote --model REF --model REF"),
    _act("blind", "v", "blind", "Hide which model is which, sides by chance; again tells.", _VOTE),
    _act("model", "m", "model", "Choose the model of the column that has focus.", _CHAT, show=True),
    _act("older", "left_square_bracket", "older", "The checkpoint before, in this column.",
         show=True),
    _act("newer", "right_square_bracket", "newer", "The next checkpoint, in this column.",
         show=True),
    _act("settings", "s", "settings", "System prompt, temperature, length and seed.",
         f"{_CHAT} --system TEXT --temperature T --max-tokens N --seed N", show=True),
    _act("second", "b", "one/two", "Add or remove the second column."),
    _act("copy", "y", "copy", "Copy the last answer of the column.", show=True),
    _act("new", "ctrl+n", "new chat", "Begin a new conversation; the old one is kept."),
    _act("left", "h,left", "column A", "Give the left column focus.", palette=False),
    _act("right", "l,right", "column B", "Give the right column focus.", palette=False),
    _act("down", "j", "scroll down", "Scroll the column down.", palette=False),
    _act("up", "k", "scroll up", "Scroll the column up.", palette=False),
)  # fmt: skip
