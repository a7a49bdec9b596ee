"""The rows of the table of models, as JSON: what is stored of a model, and tuned weights.

A row that was edited by hand is read as no model, or as weights that are refused later: it must
not cost a page, and training replaces it.
"""

import json
import logging
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from angle_reco.adapters.sql.core.dialect import upsert_into
from angle_reco.ports.models import ModelHead, Trained, TunedWeights

_log = logging.getLogger(__name__)

_MODEL, _WEIGHTS = "blended", "weights"


def all_rows(models: sa.Table) -> sa.Select[Any]:
    """Return the query for all rows."""
    return sa.select(models.c.name, models.c.details)


def trained_of(rows: Mapping[str, str]) -> Trained:
    """Return what rows hold: the texts by name."""
    return Trained(
        None if _MODEL not in rows else _head(rows[_MODEL]),
        None if _WEIGHTS not in rows else _tuned(rows[_WEIGHTS]),
    )


def read_head(connection: sa.Connection, models: sa.Table) -> ModelHead | None:
    """Return the head of the stored model, None if there is none that can be read."""
    details = connection.scalar(sa.select(models.c.details).where(models.c.name == _MODEL))
    return None if details is None else _head(details)


def write_head(connection: sa.Connection, models: sa.Table, head: ModelHead | None) -> None:
    """Replace the head of the stored model, or remove it."""
    if head is None:
        connection.execute(sa.delete(models).where(models.c.name == _MODEL))
        return
    details = {
        "version": head.version,
        "revision": head.revision,
        "trained_at": head.trained_at.astimezone(UTC).isoformat(),
        "counted_at": head.counted_at.astimezone(UTC).isoformat(),
        "size": head.size,
    }
    _write(connection, models, _MODEL, details)


def write_tuned(connection: sa.Connection, models: sa.Table, weights: TunedWeights | None) -> None:
    """Replace the tuned weights, or remove them."""
    if weights is None:
        connection.execute(sa.delete(models).where(models.c.name == _WEIGHTS))
        return
    details = {
        "version": weights.version,
        "tuned_at": weights.tuned_at.astimezone(UTC).isoformat(),
        "weights": dict(weights.weights),
        "figures": dict(weights.figures),
    }
    _write(connection, models, _WEIGHTS, details)


def _write(
    connection: sa.Connection, models: sa.Table, name: str, details: Mapping[str, object]
) -> None:
    values = {"details": json.dumps(details)}
    insert = upsert_into(models, connection.dialect.name).values(name=name, **values)
    connection.execute(insert.on_conflict_do_update(index_elements=["name"], set_=values))


def _head(details: object) -> ModelHead | None:
    read = _object(details)
    with suppress(ValueError, KeyError, TypeError):
        return ModelHead(
            version=read["version"],
            revision=read["revision"],
            trained_at=_moment(read["trained_at"]),
            counted_at=_moment(read["counted_at"]),
            size=int(read["size"]),
        )
    _log.error("model not used: problem=%s", "has a row that cannot be read")
    return None


def _tuned(details: object) -> TunedWeights:
    """Return tuned weights; none of them where the row does not hold an object of two objects."""
    read = _object(details)
    weights, figures, tuned_at = read.get("weights"), read.get("figures"), _EPOCH
    if not isinstance(weights, dict) or not isinstance(figures, dict):
        weights, figures = {}, {}
    with suppress(ValueError, KeyError, TypeError):
        tuned_at = _moment(read["tuned_at"])
    version = str(read.get("version", ""))
    return TunedWeights(version=version, tuned_at=tuned_at, weights=weights, figures=figures)


def _object(details: object) -> dict[str, Any]:
    # `RecursionError` is what deeply nested JSON raises.
    with suppress(ValueError, RecursionError, TypeError):
        read = json.loads(details, parse_constant=_refuse)  # type: ignore[arg-type]  # may be anything on SQLite
        if isinstance(read, dict):
            return read
    return {}


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(text)
    return moment.astimezone(UTC)


def _refuse(constant: str) -> object:
    """Refuse NaN and infinity, which are not JSON."""
    raise ValueError(constant)


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
