"""Notifications of the host's `on_event`: the one place that calls it."""

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
    """Notifies the host of events, at most once a minute for each subject."""

    clock: Clock
    on_event: Callable[[Event], None] | None = None
    _muted_until: dict[Hashable, float] = attrs.field(factory=dict, init=False)

    def notify(self, event: Event, *, about: Hashable = None) -> bool:
        """Notify the host; return False if the subject *about* had a notification just before."""
        if about is not None and not self._is_new(about):
            return False
        self.deliver(event)
        return True

    def deliver(self, event: Event) -> bool:
        """Call the host's function; return False if it failed, which is logged."""
        if self.on_event is None:
            return True
        try:
            self.on_event(event)
        except Exception as error:  # noqa: BLE001 — whatever the host's own code raises
            name = type(event).__name__
            _log.warning("host not notified: event=%s error=%s", name, type(error).__name__)
            return False
        return True

    def _is_new(self, about: Hashable) -> bool:
        now = self.clock.monotonic()
        if self._muted_until.get(about, now) > now:
            return False
        if len(self._muted_until) >= _MOST_REMEMBERED:
            self._muted_until = {
                one: until for one, until in list(self._muted_until.items()) if until > now
            }
            if len(self._muted_until) >= _MOST_REMEMBERED:
                return False
        self._muted_until[about] = now + _SECONDS_BETWEEN
        return True
