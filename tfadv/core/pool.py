"""Threads that read, decode, encode and write image files while the model computes; few batches ahead, in order."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from itertools import islice
from typing import Any, TypeVar

#: How many batches are worked on while the caller looks at one; more where all of them have fewer items than workers.
AHEAD = 2

Batch = TypeVar("Batch")
Result = TypeVar("Result")


def cores() -> int:
    """How many cores this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # macOS and Windows tie no process to a core
        return os.cpu_count() or 1


def in_batches(items: Sequence, size: int) -> Iterator[Sequence]:
    """The items in order, `size` at a time; the last batch may have fewer."""
    for start in range(0, len(items), size):
        yield items[start : start + size]


class Pool:
    """So many threads; a context, at whose end everything that was begun is finished.

    Args:
        workers: how many threads; by default one for each core.

    Raises ValueError for less than one.
    """

    def __init__(self, workers: int | None = None) -> None:
        self.workers = cores() if workers is None else workers
        if self.workers < 1:
            raise ValueError(f"workers: expected a whole number above 0, got {workers}.")
        self._threads = ThreadPoolExecutor(self.workers, "tfadv")

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, *_: object) -> None:
        self._threads.shutdown()

    def each(self, function: Callable[[Any], Result], items: Iterable[Any]) -> list[Result]:
        """function(item) of each item, in order; raises what the first of them that fails raises."""
        return [one.result() for one in [self._threads.submit(function, item) for item in items]]

    def ahead(self, function: Callable[[Any], Result], batches: Iterable[Iterable[Any]]) -> Iterator[list[Result]]:
        """For each batch of items, in order, [function(item), ...]; see `through`."""
        return self.through(batches, lambda batch: batch, function, lambda batch, results: results)

    def through(
        self,
        batches: Iterable[Batch],
        items: Callable[[Batch], Iterable[Any]],
        function: Callable[[Any], Any],
        whole: Callable[[Batch, list[Any]], Result],
    ) -> Generator[Result, None, None]:
        """For each batch, in order, whole(batch, [function(item), ...]), computed while the caller looks at others.

        Args:
            batches: taken one by one, with items(batch), in the caller's thread; see `AHEAD` for how many at once.
            items: what a batch consists of; it may be empty.
            function: called in the threads, in any order.
            whole: called in any thread once all of the batch is there, in the order of the batches, one at a time.

        Where something fails, what the first item of the first such batch raised is raised in its place; later batches
        that were begun are finished nevertheless, before the error is seen.
        """
        line, waiting = _Line(function, whole), deque[_Work]()
        try:
            for batch in batches:
                waiting.append(self._begun(line, batch, list(items(batch))))
                while len(waiting) > AHEAD and sum(work.weight for work in islice(waiting, 1, None)) >= self.workers:
                    yield _first(waiting)
            while waiting:
                yield _first(waiting)
        finally:
            wait([work.outcome for work in waiting])

    def _begun(self, line: _Line, batch: Any, items: list[Any]) -> _Work:
        work = line.join(batch, items)
        for place in range(len(items)):
            self._threads.submit(line.compute, work, place)
        return work


def _first(waiting: deque[_Work]) -> Any:
    """What comes of the first batch in line; while it is waited for, and where it fails, it stays there."""
    outcome = waiting[0].outcome.result()
    waiting.popleft()
    return outcome


class _Work:
    """A batch on its way: its items, what came of each, how many are left, and what comes of all of it.

    weight: how many workers it keeps busy; one of nothing counts too, so that no heap of them waits.
    """

    def __init__(self, batch: Any, items: list[Any]) -> None:
        self.batch, self.items, self.left, self.weight = batch, items, len(items), max(1, len(items))
        self.results: list[Any] = [None] * len(items)
        self.errors: dict[int, BaseException] = {}
        self.outcome: Future = Future()


class _Line:
    """Batches in their order: one that is done waits for those before it."""

    def __init__(self, function: Callable[[Any], Any], whole: Callable[[Any, list[Any]], Any]) -> None:
        self._function, self._whole = function, whole
        self._lock, self._line = threading.Lock(), deque[_Work]()

    def join(self, batch: Any, items: list[Any]) -> _Work:
        """The batch at the end of the line."""
        work = _Work(batch, items)
        with self._lock:
            self._line.append(work)
            self._advance()
        return work

    def compute(self, work: _Work, place: int) -> None:
        """One item of a batch; with the last one the batch is whole."""
        try:
            work.results[place] = self._function(work.items[place])
        except BaseException as error:  # it is raised again where it is waited for
            work.errors[place] = error
        with self._lock:
            work.left -= 1
            self._advance()

    def _advance(self) -> None:
        while self._line and not self._line[0].left:
            work = self._line.popleft()
            try:
                if work.errors:
                    raise work.errors[min(work.errors)]
                work.outcome.set_result(self._whole(work.batch, work.results))
            except BaseException as error:
                work.outcome.set_exception(error)
