"""The part of the Data room that changes the turn under the pen: role, order, split, train or not.

Knows what can be done to a turn, and its keys. Doing it is the pen's.
"""

from __future__ import annotations

from screens.data.drafting import Drafting
from screens.safe import line

OPERATIONS = (
    ("r", "another role …", "role"),
    ("t", "train on this turn, or not", "train"),
    ("n", "add a turn after it", "after"),
    ("b", "add a turn before it", "before"),
    ("s", "split it at the cursor", "split"),
    ("m", "merge it with the next", "merge"),
    ("k", "move it up", "up"),
    ("j", "move it down", "down"),
    ("d", "delete it", "delete"),
)
"""Key, words and name of what can be done to a turn."""


class Turning(Drafting):
    """What is done to a turn, one key each or from a list."""

    def action_pen_turn(self) -> None:
        """What can be done to the turn under the pen."""
        from screens.data.editor import TurnEditor
        from screens.widgets.modals import Choice, ChoiceModal

        editor = self.under_pen
        if not isinstance(editor, TurnEditor):
            return
        possible = [c for c in OPERATIONS if editor.pen.does(c[2], editor.at)]
        if not possible:
            self.say("Nothing but its text can be changed here; E edits the row as JSON.")
            return

        def chosen(answer: str | None) -> None:
            if answer == "role":
                self.action_pen_role()
            elif answer is not None:
                editor.do(answer)

        choices = [Choice(*choice) for choice in possible]
        title = f"Turn {editor.at + 1} of {len(editor.pen.parts)}"
        question = line(editor.part.label, "bold")
        self.app.push_screen(ChoiceModal(title, question, choices), self.guarded(chosen))

    def action_pen_role(self) -> None:
        """Choose another role for the turn under the pen."""
        from screens.data.editor import TurnEditor
        from screens.widgets.modals import PickModal

        editor = self.under_pen
        if not isinstance(editor, TurnEditor) or not editor.pen.does("role", editor.at):
            self.say("The role cannot be changed here; E edits the row as JSON.")
            return

        def chosen(role: str | None) -> None:
            if role is not None:
                editor.do("role", role)

        roles = [(role, role) for role in editor.pen.roles()]
        modal = PickModal("Role of the turn", roles, current=editor.part.label)
        self.app.push_screen(modal, self.guarded(chosen))

    def action_pen_add(self) -> None:
        self._do("after")

    def action_pen_up(self) -> None:
        self._do("up")

    def action_pen_down(self) -> None:
        self._do("down")

    def _do(self, what: str) -> None:
        from screens.data.editor import TurnEditor

        editor = self.under_pen
        if isinstance(editor, TurnEditor) and editor.pen.does(what, editor.at):
            editor.do(what)
        else:
            self.say("That cannot be done here.")
