"""The table of actions: complete, without clashes, and what the footer shows of it."""

from __future__ import annotations

from collections import Counter
from importlib import import_module

import pytest

from screens.actions import APP_ACTIONS, ROOMS, all_actions, room_actions
from screens.widgets.statusline import MOST_KEYS, StatusLine, live_keys
from tests.screens.conftest import MakeApp
from tests.screens.dump import WIDE
from workbench.app import WorkbenchApp

NAMES = [room for room, _ in ROOMS]


def test_ids_are_unique_and_every_action_is_explained() -> None:
    ids = Counter(action.id for action in all_actions())
    assert [name for name, times in ids.items() if times > 1] == []
    for action in all_actions():
        assert action.tooltip.endswith("."), action.id
        assert 0 < len(action.label) <= 16, action.id
        if action.show:
            assert len(action.label) <= 11, f"{action.id}: too long for the footer"


@pytest.mark.parametrize("room", NAMES)
def test_no_key_means_two_things_in_a_room(room: str) -> None:
    taken = Counter(
        (key, action.when)
        for action in (*APP_ACTIONS, *room_actions(room))
        for key in filter(None, (*action.key.split(","), action.while_typing))
    )
    assert [key for key, times in taken.items() if times > 1] == []
    keys = {key for key, _ in taken}
    always = {key for key, when in taken if not when}
    for key in keys & always:
        assert sum(1 for other, _ in taken if other == key) == 1, f"{room}: {key}"


@pytest.mark.parametrize("room", NAMES)
async def test_the_footer_has_at_most_eight_keys_and_ends_with_help(
    make_app: MakeApp, room: str
) -> None:
    app = make_app()
    async with app.run_test(size=WIDE) as pilot:
        await app.action_go(room)
        await pilot.pause()
        live = live_keys(app.screen)
        shown = StatusLine.fit(live, 1000)
        assert 0 < len(shown) <= MOST_KEYS
        assert shown[-1][2] == "app.help"
        assert StatusLine.fit(live, 1)[-1][2] == "app.help"


@pytest.mark.parametrize("room", NAMES)
def test_every_action_has_a_method(room: str) -> None:
    module = import_module(f"screens.{room}.screen")
    made = vars(module)[f"{room.capitalize()}Room"]
    for action in room_actions(room):
        assert callable(getattr(made, f"action_{action.method}", None)), action.id
        assert action.screen == room
        assert action.id.startswith(f"{room}.")


def test_app_actions_have_methods() -> None:
    for action in APP_ACTIONS:
        name = action.method.removeprefix("app.").split("(")[0]
        assert callable(getattr(WorkbenchApp, f"action_{name}")), action.id
