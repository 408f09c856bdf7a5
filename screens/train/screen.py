"""The Train room: the form that starts a run, and the live panel of the run that is shown.

Knows which of the two is on screen and how the form becomes a run. Does not train: the engine's
client does, in processes of their own.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from textual import events, on, work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.content import Content
from textual.message import Message
from textual.timer import Timer

from screens.actions import bindings, room_actions
from screens.base import ShowRun, TrainOn, Visit
from screens.beat import foremost
from screens.train import choices
from screens.train.acting import ActRoom, Begun
from screens.train.form import RunForm, Wish
from screens.train.panel import RunPanel
from screens.train.plan import PlanPane
from screens.widgets import words
from screens.widgets.field import Pick
from screens.widgets.modals import PickModal
from screens.widgets.pane import Pane
from store import runs
from store.errors import WorkbenchError

if TYPE_CHECKING:
    from engine.train.planning import Plan

PLAN_AFTER = 0.3
"""Seconds after the last change of the form until its plan is made."""

_FORM_ONLY = frozenset({"start", "more"})
_OWN = frozenset(action.method for action in room_actions("train"))


class Chosen(Message):
    """A value was picked for a field of the form."""

    def __init__(self, field: str, value: str) -> None:
        super().__init__()
        self.field = field
        self.value = value


class Planned(Message):
    """A worker counted what a wish would train on; `error` is why it cannot."""

    def __init__(self, wish: Wish, plan: Plan | None, error: WorkbenchError | None = None) -> None:
        super().__init__()
        self.wish = wish
        self.plan = plan
        self.error = error


class TrainRoom(ActRoom):
    """Describe a run, start it, watch it."""

    ROOM = "train"
    TELLS_RUNS = True
    AUTO_FOCUS = ""  # The first that can be focused may be a field of the form that is not shown.
    TITLE_WORDS = "Describe a run, see what it will train on, start it and watch it learn."
    CSS_PATH = "styles.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [*bindings(room_actions("train"))]

    def __init__(self) -> None:
        super().__init__()
        self._wished: Wish | None = None
        self._plan_timer: Timer | None = None

    def compose_room(self) -> ComposeResult:
        """The form, or a run that is alive: the form's widgets take longer than all the rest."""
        alive = foremost(runs.all(self.catalogue))
        self.run_id = alive.id if alive is not None else None
        self.set_class(self.run_id is None, "-form")
        with Pane(id="form-pane"):
            if self.run_id is None:
                yield RunForm()
        yield PlanPane()
        yield RunPanel()

    def on_mount(self) -> None:
        self.query_one("#form-pane", Pane).title_is(Content("new run"))
        if self.run_id is not None:
            self.attach(self.run_id)
        else:
            self._begin_form()

    def _begin_form(self) -> None:
        self.focus_on(self.form.rows["file"].control)
        self.said_status()
        if choices_ := choices.files(self.catalogue):
            self.form.fill(file=choices_[0][0])

    @property
    def form(self) -> RunForm:
        return self.query_one(RunForm)

    def on_screen_resume(self, event: events.ScreenResume) -> None:
        super().on_screen_resume(event)
        if self.has_class("-form"):  # runs may have been begun elsewhere
            self.said_status()

    # -- which half is shown -----------------------------------------------------------------

    def receive(self, visit: Visit) -> None:
        if isinstance(visit, ShowRun):
            self.attach(visit.run_id)
        elif isinstance(visit, TrainOn):
            self.call_next(self.show_form, visit.path)

    async def show_form(self, file: str | None = None) -> None:
        """Describe a run, on this dataset or as it was described last."""
        if not self.query(RunForm):
            await self.query_one("#form-pane").mount(RunForm())
            self._begin_form()
        if file is not None:
            self.form.fill(file=file)
        self.set_class(True, "-form")
        self.focus_on(self.form.rows["file"].control)
        self.said_status()
        self.refresh_bindings()

    def attach(self, run_id: int) -> None:
        """Show a run and follow it while it lives."""
        self.set_class(False, "-form")
        self.focus_on(self.chart)
        self.watch_run(run_id)
        self.refresh_bindings()

    def shows_run(self, run_id: int) -> bool:
        return self.run_id == run_id and not self.has_class("-form")

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        del parameters
        if action in _FORM_ONLY:
            return self.has_class("-form")
        if action not in _OWN or action == "back":
            return True
        if self.has_class("-form"):
            return False
        return self.can_act(action)

    def said_status(self) -> None:
        if self.look is None:
            count = len(runs.all(self.catalogue))
            said = words.plural(count, "run") if count else "no run yet"
            self.status = Content.styled(said, "$foreground 60%")
            return
        running, queued = self.look.alive
        parts = [f"▶ {running} running"] if running else []
        parts += [f"{queued} queued"] if queued else []
        if parts:
            self.status = Content.styled(" · ".join(parts), "$accent")
        else:
            self.status = words.state(self.look.run.status)

    # -- the form ----------------------------------------------------------------------------

    @on(RunForm.Changed)
    def _form_changed(self, _event: RunForm.Changed) -> None:
        if self._plan_timer is not None:
            self._plan_timer.stop()
        self._plan_timer = self.set_timer(PLAN_AFTER, self._plan_now)

    def _plan_now(self) -> None:
        wish = self.form.wish()
        pane = self.query_one(PlanPane)
        self._wished = wish
        if wish is None:
            pane.plan = None
            return
        pane.counting = True
        self._plan(wish)

    @work(thread=True, exclusive=True, group="plan", exit_on_error=False)
    def _plan(self, wish: Wish) -> None:
        from engine.train.planning import make_plan

        try:
            with self.open_catalogue() as cat:
                plan = make_plan(cat, wish.file, wish.model, wish.recipe)
            self.post_message(Planned(wish, plan))
        except WorkbenchError as error:
            self.post_message(Planned(wish, None, error))

    @on(Planned)
    def _planned(self, event: Planned) -> None:
        if event.wish != self._wished:
            return
        pane = self.query_one(PlanPane)
        pane.counting = False
        pane.error = event.error
        pane.plan = event.plan
        if event.plan is not None:
            self.form.show_choices(event.plan.decided.choices, event.plan.decided.refused)
        else:
            self.form.show_choices((), None)

    @on(RunForm.Explained)
    def _explained(self, event: RunForm.Explained) -> None:
        self.query_one(PlanPane).explained = (event.name, event.help_words, event.expected)

    @on(Pick.Wanted)
    def _pick(self, event: Pick.Wanted) -> None:
        field = event.name
        cat = self.catalogue
        title, items, free = {
            "file": ("Train on", choices.files(cat), "or type a path"),
            "model": ("Base model", choices.bases(cat), "or type a folder or hub:org/name"),
            "recipe": ("Recipe", choices.recipe_names(), "or type the path of a TOML file"),
        }[field]

        def chosen(value: str | None) -> None:
            if value is not None:
                self.post_message(Chosen(field, value))

        modal = PickModal(
            title, items, current=self.form.rows[field].value, placeholder=free, free=True
        )
        self.app.push_screen(modal, chosen)

    @on(Chosen)
    def _chosen(self, event: Chosen) -> None:
        value = str(Path(event.value).expanduser()) if event.field == "file" else event.value
        self.form.fill(**{event.field: value})

    def action_more(self) -> None:
        self.form.toggle_more()

    def action_start(self) -> None:
        wish = self.form.wish()
        bad = self.form.first_bad()
        if wish is None and bad is not None:
            self.set_focus(bad.control)
            self.say(f"{bad.field}: {bad.complaint}", bad=True)
        elif wish is not None:
            self.query_one(PlanPane).starting = True
            self._start(wish)

    @on(PlanPane.Start)
    def _start_pressed(self) -> None:
        self.action_start()

    @work(thread=True, exclusive=True, group="start", exit_on_error=False)
    def _start(self, wish: Wish) -> None:
        from engine.train import client

        try:
            with self.open_catalogue() as cat:
                run = client.start(cat, Path(wish.file), wish.model, wish.recipe, name=wish.name)
            self.post_message(Begun(run))
        finally:
            self.app.call_later(self._start_over)

    def _start_over(self) -> None:
        self.query_one(PlanPane).starting = False

    @on(Begun)
    def _started(self) -> None:
        for form in self.query(RunForm):
            form.rows["name"].value = ""

    # -- the run -----------------------------------------------------------------------------

    async def action_new(self) -> None:
        await self.show_form()

    def action_back(self) -> None:
        if self.has_class("-form"):
            if self.run_id is not None:
                self.attach(self.run_id)
        elif self.panel.view != "overview":
            self.panel.view = "overview"
        else:
            self.chart.point(None)
