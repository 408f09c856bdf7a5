"""The command palette, filled from the table of actions.

Knows the table. Does not know what an action does: it goes to the action's room and runs it there.
"""

from __future__ import annotations

from functools import partial

from textual.command import DiscoveryHit, Hit, Hits, Provider

from screens.actions import EVERYWHERE, ROOMS, Action, all_actions

_LABELS = dict(ROOMS)


def title(action: Action) -> str:
    """`Data: save`; what holds everywhere has no room before it."""
    if action.screen == EVERYWHERE:
        return action.label
    return f"{_LABELS[action.screen]}: {action.label}"


class ActionCommands(Provider):
    """Every action that the table lists for the palette."""

    def _entries(self) -> list[tuple[str, Action]]:
        return [(title(action), action) for action in all_actions() if action.palette]

    async def _run(self, action: Action) -> None:
        if action.screen != EVERYWHERE:
            await self.app.run_action(f"app.go('{action.screen}')")
        if not await self.app.run_action(action.method, default_namespace=self.app.screen):
            self.app.notify(f"{title(action)}: nothing to do that with now.", markup=False)

    async def discover(self) -> Hits:
        here = self.app.current_mode
        entries = self._entries()
        entries.sort(key=lambda entry: entry[1].screen != here)
        for words, action in entries:
            text = f"{words}   {action.keys}"
            yield DiscoveryHit(text, partial(self._run, action), help=action.tooltip)

    async def search(self, query: str) -> Hits:
        matcher = self.matcher(query)
        for words, action in self._entries():
            score = max(matcher.match(words), 0.9 * matcher.match(action.tooltip))
            if score > 0:
                shown = matcher.highlight(words)
                yield Hit(score, shown, partial(self._run, action), help=action.tooltip)
