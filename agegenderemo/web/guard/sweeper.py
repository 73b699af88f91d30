"""The thread that keeps the promise about files."""

import logging
import threading

from agegenderemo.web.guard.store import Store

_log = logging.getLogger(__name__)


class Sweeper:
    """Sweeps a store again and again until it is stopped. A sweep that fails is logged, and the
    next one comes all the same."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sweeper", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        self._thread.join(5)

    def _run(self) -> None:
        while not self._stopped.wait(self._store.limits.sweep_seconds):
            try:
                self._store.sweep()
            except Exception:
                _log.exception("A sweep of old files failed; the next one follows.")
