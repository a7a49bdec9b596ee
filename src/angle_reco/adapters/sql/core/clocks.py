"""The current time by the database's clock."""

from datetime import datetime, timedelta

import sqlalchemy as sa

from angle_reco.adapters.sql.core.types import Moment
from angle_reco.domain.moments import MICROSECOND


def clock_of_server(dialect: str) -> sa.ColumnElement[datetime]:
    """Return the current time by the database's clock, not the start of the transaction."""
    if dialect == "postgresql":
        return sa.func.clock_timestamp(type_=Moment)
    # Julian days count from noon of 24 November 4714 BC; 1970 starts at 2440587.5.
    days = sa.func.julianday("now") - 2440587.5
    return sa.type_coerce(sa.cast(sa.func.round(days * 86_400_000), sa.BigInteger) * 1000, Moment)


def moved(
    moment: sa.ColumnElement[datetime], by: timedelta, dialect: str
) -> sa.ColumnElement[datetime]:
    """Return *moment* shifted by the duration *by*."""
    if dialect == "postgresql":
        return sa.type_coerce(moment + sa.literal(by, sa.Interval), Moment)
    return sa.type_coerce(sa.type_coerce(moment, sa.BigInteger) + by // MICROSECOND, Moment)
