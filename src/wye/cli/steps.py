"""What several models do before they answer: a line for each step, turning until it is done."""

from __future__ import annotations

from rich.console import Console, RenderableType
from rich.progress import Progress, SpinnerColumn, Task, TaskID, TextColumn, TimeElapsedColumn
from rich.text import Text

from wye.kernel.json import JsonObject

_DONE = Text("✓", "green")
_FAILED = Text("✗", "red")


class _Mark(SpinnerColumn):
    def render(self, task: Task) -> RenderableType:
        return task.fields["mark"] or super().render(task)


class Steps:
    """Shown at a terminal only."""

    def __init__(self, console: Console) -> None:
        self._progress = Progress(
            _Mark(),
            TextColumn("{task.fields[step]:<10} {task.fields[model]}", markup=False),
            TimeElapsedColumn(),
            TextColumn("{task.fields[note]}", markup=False, style="red"),
            console=console,
            disable=not console.is_terminal,
        )
        self._running: dict[tuple[str, str], TaskID] = {}

    def tell(self, told: JsonObject) -> None:
        """One `orchestration_progress`: a step that has started, is done, or has failed."""
        step, model, state = (str(told.get(name, "")) for name in ("step", "model", "state"))
        if state == "started":
            self._progress.start()
            task = self._progress.add_task("", total=1, step=step, model=model, note="", mark=None)
            self._running[step, model] = task
        elif state in ("done", "failed") and (step, model) in self._running:
            task = self._running.pop((step, model))
            self._progress.stop_task(task)
            mark = _DONE if state == "done" else _FAILED
            self._progress.update(task, mark=mark, note=str(told.get("error", "")))

    def answered(self) -> None:
        """The answer begins: whoever gives it has no more to do."""
        for task in self._running.values():
            self._progress.update(task, mark=_DONE)
        self._running.clear()
        self.end()

    def end(self) -> None:
        """The lines stay as they are. Idempotent."""
        self._progress.stop()
