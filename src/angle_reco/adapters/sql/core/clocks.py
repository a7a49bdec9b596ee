"""What time it is by the database's clock."""

from datetime import datetime, timedelta

import sqlalchemy as sa

from angle_reco.adapters.sql.core.types import Moment
from angle_reco.domain.moments import MICROSECOND


def clock_of_server(dialect: str) -> sa.ColumnElement[datetime]:
    """Return what time it is by the database's clock, also late in a transaction."""
    if dialect == "postgresql":
        return sa.func.clock_timestamp(type_=Moment)
    # Days since noon of 24 November 4714 BC, of which 1970 began at 2440587.5.
    days = sa.func.julianday("now") - 2440587.5
    return sa.type_coerce(sa.cast(sa.func.round(days * 86_400_000), sa.BigInteger) * 1000, Moment)


def moved(
    moment: sa.ColumnElement[datetime], by: timedelta, dialect: str
) -> sa.ColumnElement[datetime]:
    """Return a moment so much later."""
    if dialect == "postgresql":
        return sa.type_coerce(moment + sa.literal(by, sa.Interval), Moment)
    return sa.type_coerce(sa.type_coerce(moment, sa.BigInteger) + by // MICROSECOND, Moment)
