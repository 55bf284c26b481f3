"""A thread pool that reads, decodes and writes image files while the model computes, in the order of the batches."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from itertools import islice
from typing import Any, TypeVar

#: How many batches are worked on while the caller handles one; more where all of them have fewer items than workers.
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
    """Batches of the items in order, `size` each; the last one may have fewer."""
    for start in range(0, len(items), size):
        yield items[start : start + size]


class ThreadPool:
    """A thread pool; a context manager, at whose end everything that was submitted is finished.

    Args:
        workers: how many threads; by default one for each core.

    Raises ValueError for less than one.
    """

    def __init__(self, workers: int | None = None) -> None:
        self.workers = cores() if workers is None else workers
        if self.workers < 1:
            raise ValueError(f"workers: expected a whole number above 0, got {workers}.")
        self._threads = ThreadPoolExecutor(self.workers, "tfadv")

    def __enter__(self) -> ThreadPool:
        return self

    def __exit__(self, *_: object) -> None:
        self._threads.shutdown()

    def each(self, function: Callable[[Any], Result], items: Iterable[Any]) -> list[Result]:
        """function(item) of each item, in order; raises what the first of them that fails raises."""
        return [future.result() for future in [self._threads.submit(function, item) for item in items]]

    def ahead(self, function: Callable[[Any], Result], batches: Iterable[Iterable[Any]]) -> Iterator[list[Result]]:
        """[function(item), ...] of each batch of items, in order, computed ahead; see `through`."""
        return self.through(batches, lambda batch: batch, function, lambda batch, results: results)

    def through(
        self,
        batches: Iterable[Batch],
        items: Callable[[Batch], Iterable[Any]],
        function: Callable[[Any], Any],
        combine: Callable[[Batch, list[Any]], Result],
    ) -> Generator[Result, None, None]:
        """combine(batch, [function(item), ...]) of each batch, in order, computed ahead of the caller.

        Args:
            batches: taken one by one, with items(batch), in the caller's thread; see `AHEAD` for how many at once.
            items: what a batch consists of; it may be empty.
            function: called in the threads, in any order.
            combine: called in any thread once all of the batch is there, in the order of the batches, one at a time.

        Where something fails, what the first item of the first such batch raised is raised in its place; later batches
        that were begun are finished nevertheless, before the error is seen.
        """
        queue, waiting = _OrderedQueue(function, combine), deque[_PendingBatch]()
        try:
            for batch in batches:
                waiting.append(self._submitted(queue, batch, list(items(batch))))
                while len(waiting) > AHEAD and sum(later.weight for later in islice(waiting, 1, None)) >= self.workers:
                    yield _first(waiting)
            while waiting:
                yield _first(waiting)
        finally:
            wait([pending.outcome for pending in waiting])

    def _submitted(self, queue: _OrderedQueue, batch: Any, items: list[Any]) -> _PendingBatch:
        pending = queue.join(batch, items)
        for index in range(len(items)):
            self._threads.submit(queue.compute, pending, index)
        return pending


def _first(waiting: deque[_PendingBatch]) -> Any:
    """The result of the first batch in the queue; while it is waited for, and where it fails, it stays there."""
    outcome = waiting[0].outcome.result()
    waiting.popleft()
    return outcome


class _PendingBatch:
    """A batch in work: its items, their results so far, how many are left, and the future of the whole.

    weight: how many workers it keeps busy; an empty batch counts too, so that no heap of them waits.
    """

    def __init__(self, batch: Any, items: list[Any]) -> None:
        self.batch, self.items, self.left, self.weight = batch, items, len(items), max(1, len(items))
        self.results: list[Any] = [None] * len(items)
        self.errors: dict[int, BaseException] = {}
        self.outcome: Future = Future()


class _OrderedQueue:
    """Pending batches in their order: one that is done waits for those before it."""

    def __init__(self, function: Callable[[Any], Any], combine: Callable[[Any, list[Any]], Any]) -> None:
        self._function, self._combine = function, combine
        self._lock, self._queue = threading.Lock(), deque[_PendingBatch]()

    def join(self, batch: Any, items: list[Any]) -> _PendingBatch:
        """Append a batch."""
        pending = _PendingBatch(batch, items)
        with self._lock:
            self._queue.append(pending)
            self._advance()
        return pending

    def compute(self, pending: _PendingBatch, index: int) -> None:
        """Compute one item of a batch; with its last item the batch is complete."""
        try:
            pending.results[index] = self._function(pending.items[index])
        except BaseException as error:  # it is raised again where it is waited for
            pending.errors[index] = error
        with self._lock:
            pending.left -= 1
            self._advance()

    def _advance(self) -> None:
        while self._queue and not self._queue[0].left:
            pending = self._queue.popleft()
            try:
                if pending.errors:
                    raise pending.errors[min(pending.errors)]
                pending.outcome.set_result(self._combine(pending.batch, pending.results))
            except BaseException as error:
                pending.outcome.set_exception(error)
