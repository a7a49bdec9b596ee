"""The ledger of runs in a table; the database's clock decides."""

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import Any

import attrs
import sqlalchemy as sa

from angle_reco.adapters.sql.core.clocks import clock_of_server, moved
from angle_reco.adapters.sql.core.database import Database
from angle_reco.adapters.sql.core.dialect import upsert_into
from angle_reco.adapters.sql.schema.tables import Tables
from angle_reco.domain.moments import to_micros
from angle_reco.domain.runs import (
    Claim,
    ClaimStatus,
    Run,
    RunKey,
    RunRequest,
    RunState,
    Trigger,
    claimed,
)
from angle_reco.ports.ledger import AHEAD, MOST_OPEN, OpenRuns

_OPEN = [state.value for state in RunState if not state.is_final]


@attrs.frozen
class SqlRunLedger:
    """`RunLedger` in an SQL table; *clock* is an SQL expression, by default the server's clock."""

    database: Database
    tables: Tables
    clock: sa.ColumnElement[datetime] = attrs.field()

    @clock.default
    def _clock_of_server(self) -> sa.ColumnElement[datetime]:
        return clock_of_server(self.database.dialect)

    def now(self) -> datetime:
        moment: datetime = self.database.scalar(sa.select(self.clock))
        return moment

    def claim(self, run_request: RunRequest, *, holder: str, lease: timedelta) -> Claim:
        def unit(connection: sa.Connection) -> Claim:
            newest = self._lock(connection, run_request.key)
            now = connection.execute(sa.select(self.clock)).scalar_one()
            claim = claimed(
                [_run(row) for row in connection.execute(self._relevant(run_request, now))],
                run_request,
                now=now,
                holder=holder,
                # The clock makes it larger than earlier ones even if the key's fence was lost.
                number=max(newest + 1, to_micros(now)),
                lease=lease,
            )
            if claim.status is ClaimStatus.CLAIMED:
                self._advance(connection, claim.run)
            if claim.status in _WRITES or claim.is_lease_cut:
                self._keep(connection, claim.run)
            return claim

        return self.database.write(unit)

    def beat(self, run: Run, *, lease: timedelta) -> bool:
        fences = self.tables.fences
        newest = (
            sa.select(fences.c.number)
            .where(fences.c.job == run.fence.job)
            .with_for_update()  # No other run of the key is claimed before this commits.
            .scalar_subquery()
        )
        return self._change_held(run, {"lease_until": self._from_now(lease)}, newest == run.number)

    def finish(
        self,
        run: Run,
        *,
        outcome: str | None = None,
        error: str | None = None,
        retry_after: timedelta | None = None,
        gives_back: bool = False,
    ) -> bool:
        changes: dict[str, Any] = {
            "state": RunState.SUCCEEDED.value,
            "lease_until": None,
            "finished_at": self.clock,
            "outcome": outcome,
            "error": error,
        }
        if error is not None:
            changes["state"] = RunState.DISCARDED.value
        if error is not None and retry_after is not None:
            changes |= {"state": RunState.DUE.value, "due_at": self._from_now(retry_after)}
        if gives_back:
            changes["attempt"] = self.tables.runs.c.attempt - 1
        return self._change_held(run, changes)

    def open(self, jobs: Collection[str], *, back: timedelta) -> OpenRuns:
        runs = self.tables.runs
        is_recent = sa.and_(
            runs.c.job.in_(sorted(jobs)),
            runs.c.arguments == "",
            runs.c.trigger == Trigger.SCHEDULE.value,
            runs.c.slot >= self._from_now(-back),
        )
        now = sa.select(self.clock.label("by_clock")).subquery("clock")
        query = (
            sa.select(now.c.by_clock, runs)
            .select_from(now.outerjoin(runs, sa.or_(runs.c.state.in_(_OPEN), is_recent)))
            .order_by(runs.c.arguments != "", runs.c.due_at, runs.c.job, runs.c.arguments)
            .limit(MOST_OPEN)
        )
        rows = self.database.rows(query)
        found = [_run(row) for row in rows if row.slot is not None]
        return OpenRuns(now=rows[0].by_clock, runs=sorted(found, key=_by_slot))

    def last_of_each(self, jobs: Collection[str]) -> Mapping[str, Run]:
        runs = self.tables.runs
        place = sa.func.row_number().over(
            partition_by=runs.c.job, order_by=(runs.c.started_at.desc(), runs.c.slot.desc())
        )
        began = (
            sa.select(runs, place.label("place"))
            .where(
                runs.c.job.in_(sorted(jobs)), runs.c.arguments == "", runs.c.started_at.is_not(None)
            )
            .subquery("began")
        )
        rows = self.database.rows(sa.select(began).where(began.c.place == 1))
        return {row.job: _run(row) for row in rows}

    def prune(self, *, retention: timedelta) -> int:
        runs = self.tables.runs
        last = sa.func.coalesce(runs.c.lease_until, runs.c.finished_at, runs.c.due_at)
        is_old = last < self._from_now(-retention)
        is_ahead = runs.c.finished_at > self._from_now(AHEAD)
        over = sa.delete(runs).where(sa.or_(is_old, runs.c.state.not_in(_OPEN) & is_ahead))

        def unit(connection: sa.Connection) -> int:
            return connection.execute(over).rowcount

        return self.database.write(unit)

    def _lock(self, connection: sa.Connection, key: RunKey) -> int:
        """Lock a key against other claims in this transaction; return its newest number."""
        fences = self.tables.fences
        insert = upsert_into(fences, connection.dialect.name).values(job=str(key), number=0)
        locking = insert.on_conflict_do_update(
            index_elements=[fences.c.job], set_={"number": fences.c.number}
        )
        newest: int = connection.execute(locking.returning(fences.c.number)).scalar_one()
        return newest

    def _advance(self, connection: sa.Connection, run: Run) -> None:
        """Raise the fence to this run: holders of earlier runs of the key cannot write any more."""
        fences, fence = self.tables.fences, run.fence
        connection.execute(
            sa.update(fences).where(fences.c.job == fence.job).values(number=fence.number)
        )

    def _relevant(self, run_request: RunRequest, now: datetime) -> sa.Select[Any]:
        runs = self.tables.runs
        first = now if run_request.slot is None else run_request.slot
        query = sa.select(runs).where(
            runs.c.job == run_request.key.job,
            runs.c.arguments == run_request.key.arguments,
            sa.or_(runs.c.state.in_(_OPEN), runs.c.slot >= first),
        )
        # On PostgreSQL a run that is being finished ends before this read, or after the claim.
        return query.with_for_update()

    def _keep(self, connection: sa.Connection, run: Run) -> None:
        runs = self.tables.runs
        values = _values(run)
        insert = upsert_into(runs, connection.dialect.name).values(values)
        connection.execute(
            insert.on_conflict_do_update(
                index_elements=list(runs.primary_key),
                set_={name: insert.excluded[name] for name in values},
            )
        )

    def _change_held(
        self, run: Run, changes: dict[str, Any], *conditions: sa.ColumnElement[bool]
    ) -> bool:
        runs = self.tables.runs
        change = (
            sa.update(runs)
            .where(
                runs.c.job == run.key.job,
                runs.c.arguments == run.key.arguments,
                runs.c.slot == run.slot,
                runs.c.number == run.number,
                runs.c.state == RunState.RUNNING.value,
                *conditions,
            )
            .values(changes)
        )
        return self.database.write(lambda connection: connection.execute(change).rowcount > 0)

    def _from_now(self, span: timedelta) -> sa.ColumnElement[datetime]:
        return moved(self.clock, span, self.database.dialect)


def _by_slot(run: Run) -> tuple[datetime, str, str]:
    return run.slot, run.key.job, run.key.arguments


_WRITES = (ClaimStatus.CLAIMED, ClaimStatus.WAITING, ClaimStatus.DISCARDED)


def _run(row: sa.Row[Any]) -> Run:
    return Run(
        key=RunKey(row.job, row.arguments),
        slot=row.slot,
        trigger=Trigger(row.trigger),
        state=RunState(row.state),
        attempt=row.attempt,
        due_at=row.due_at,
        number=row.number,
        holder=row.holder,
        lease_until=row.lease_until,
        started_at=row.started_at,
        finished_at=row.finished_at,
        outcome=row.outcome,
        error=row.error,
    )


def _values(run: Run) -> dict[str, Any]:
    values = attrs.asdict(run, recurse=False)
    key = values.pop("key")
    return {
        **values,
        "job": key.job,
        "arguments": key.arguments,
        "trigger": run.trigger.value,
        "state": run.state.value,
    }
