"""Progress bars of a build, on stderr. Building is not the training path, so rich may be used."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any


class Bar:
    """Progress on stderr, or nothing: call it around what is iterated over."""

    def __init__(self, shown: Any | None) -> None:
        self._shown = shown

    def __call__(self, items: Any, what: str) -> Any:
        if self._shown is None:
            return items
        if isinstance(items, Mapping):
            return _Steps(items, self._shown, what)
        return self._shown.track(items, description=what)

    @contextmanager
    def counting(self, what: str, total: int) -> Iterator[Any]:
        """Give a callable(done, total) for work that reports by itself."""
        if self._shown is None:
            yield None
            return
        task = self._shown.add_task(what, total=total)
        yield lambda done, _: self._shown.update(task, completed=done)
        self._shown.update(task, completed=total)


class _Steps(dict[Any, Any]):
    """A mapping whose `items()` move a bar."""

    def __init__(self, items: Mapping[Any, Any], shown: Any, what: str) -> None:
        super().__init__(items)
        self._shown, self._what = shown, what

    def items(self) -> Any:
        return self._shown.track(list(super().items()), description=self._what)


@contextmanager
def bars(show: bool) -> Iterator[Bar]:
    """Give a `Bar` that shows, or does not."""
    if not show:
        yield Bar(None)
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description:8}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as shown:
        try:
            yield Bar(shown)
        except BaseException:
            # A bar that stands still above a message looks as if the work went on.
            for task in shown.tasks:
                if not task.finished:
                    shown.remove_task(task.id)
            raise
