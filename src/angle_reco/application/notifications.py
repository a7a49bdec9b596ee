"""What a host is told of, to its `on_event`: once, and never at the cost of an answer."""

import logging
from collections.abc import Callable, Hashable

import attrs

from angle_reco.domain.events import Event
from angle_reco.ports.clock import Clock

_log = logging.getLogger(__name__)

_SECONDS_BETWEEN = 60.0
_MOST_REMEMBERED = 10_000


@attrs.define(kw_only=True)
class Notifier:
    """Tells a host of events; of the same thing not again for a minute."""

    clock: Clock
    on_event: Callable[[Event], None] | None = None
    _told: dict[Hashable, float] = attrs.field(factory=dict, init=False)

    def tell(self, event: Event, *, about: Hashable = None) -> bool:
        """Tell of an event; False when that about the same thing was told a moment ago."""
        if about is not None and not self._is_new(about):
            return False
        if self.on_event is not None:
            try:
                self.on_event(event)
            except Exception as error:  # noqa: BLE001 — the host's own code, which fails no answer
                _log.warning("event not told: error=%s", type(error).__name__)
        return True

    def _is_new(self, about: Hashable) -> bool:
        now = self.clock.monotonic()
        if self._told.get(about, now) > now:
            return False
        if len(self._told) >= _MOST_REMEMBERED:
            self._told = {one: until for one, until in list(self._told.items()) if until > now}
            if len(self._told) >= _MOST_REMEMBERED:
                return False
        self._told[about] = now + _SECONDS_BETWEEN
        return True
