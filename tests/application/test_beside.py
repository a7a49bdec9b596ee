"""Reads and writes beside a run: on threads that runs share, without waiting for other runs."""

from threading import Event, get_ident

import pytest

from angle_reco.application.jobs.batches import Beside, started

SECONDS = 20.0


def test_a_run_that_finds_no_thread_free_does_the_work_itself() -> None:
    is_over = Event()
    others = [started(lambda: is_over.wait(SECONDS)) for _ in range(2)]
    try:
        mine = started(get_ident)
        assert mine.done()
        assert mine.result() == get_ident()
        assert not any(one.done() for one in others)
    finally:
        is_over.set()

    assert all(one.result(SECONDS) for one in others)
    # Their threads are free again once their results are there.
    assert [started(get_ident).result(SECONDS) == get_ident() for _ in range(5)] == [False] * 5


def test_what_fails_is_raised_where_the_result_is_used() -> None:
    def fail() -> None:
        raise ValueError("odd")

    with Beside(overlaps=True) as beside:
        result = beside(fail)
        with pytest.raises(ValueError, match="odd"):
            result()
