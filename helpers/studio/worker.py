"""One thread behind a panel: it runs what was asked for last, and can be cancelled at every step."""

import collections
import threading
import time

from helpers.studio.engine import Cancelled


class Worker:
    """Runs tasks in the order in which they were asked for, and `show` after them.

    show and tasks: functions that take step(done, total), call it before every piece of work, and let `Cancelled` pass.
    progress(done, total, seconds left) and report(error) are called on the thread, report also with `Cancelled`.
    """

    def __init__(self, show, progress, report):
        self._show, self._progress, self._report = show, progress, report
        self._tasks, self._errors = collections.deque(), []
        self._changed, self._cancelled, self._closed = threading.Event(), threading.Event(), threading.Event()
        self._idle, self._lock = threading.Event(), threading.Lock()
        self._idle.set()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    @property
    def calls(self):
        """Whether it is the worker's own thread that asks."""
        return threading.current_thread() is self._thread

    @property
    def alive(self):
        return self._thread.is_alive()

    def request(self, task=None, keep=False):
        """Interrupt what runs; then run the task, if there is one, and show.

        keep: once begun, the task runs to its end, and later requests wait for it; only `cancel` interrupts it. The
        thread's own requests are ignored: it shows anyway.
        """
        if self.calls:
            return
        with self._lock:
            if task is not None:
                self._tasks.append((task, keep))
            self._changed.set()

    def cancel(self):
        """Stop what runs, and forget what waits."""
        with self._lock:
            self._tasks.clear()
            self._errors.clear()
            self._changed.clear()
            self._cancelled.set()

    def wait(self):
        """Block until nothing is left to do, or the worker is closed."""
        while self.alive and (self._changed.is_set() or not self._idle.is_set()):
            time.sleep(0.05)

    def close(self):
        """Stop what runs, and the thread; one that is loading a model ends by itself, after that."""
        self._closed.set()
        self.cancel()
        self._changed.set()
        self._thread.join(timeout=10)

    def _work(self):
        while True:
            self._changed.wait()
            with self._lock:
                if not self._changed.is_set():
                    continue  # cancelled before it began
                self._idle.clear()
                if self._closed.is_set():
                    return
                self._cancelled.clear()
            try:
                self._run_tasks()
                self._show(self._steps())
                with self._lock:
                    errors, self._errors = self._errors, []
                for error in errors:
                    self._report(error)
            except Exception as error:  # a panel is the only place for it
                self._report(error)
            finally:
                self._idle.set()

    def _run_tasks(self):
        """Run all that waits, and remember the errors of those that failed until something was shown."""
        while True:
            with self._lock:
                if self._cancelled.is_set():
                    raise Cancelled  # what was asked for since then has its turn afterwards
                self._changed.clear()  # what was asked for until now is about to be done
                if not self._tasks:
                    return
                task, keep = self._tasks.popleft()
            try:
                task(self._steps(keep))
            except Cancelled:
                raise
            except Exception as error:
                self._errors.append(error)

    def _steps(self, keep=False):
        """step(done, total) for one run, which ends it when it was cancelled or, unless it is kept, overtaken."""
        started = time.monotonic()

        def step(done, total):
            nonlocal started
            if self._cancelled.is_set() or (self._changed.is_set() and not keep):
                raise Cancelled
            if done == 0:
                started = time.monotonic()
            self._progress(done, total, (time.monotonic() - started) / max(done, 1) * (total - done))

        return step
