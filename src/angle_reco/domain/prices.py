"""Prices: Decimal at the edges, a whole number of units (ten-thousandths by default) inside."""

from decimal import Context, Decimal, Inexact, InvalidOperation
from functools import cached_property

import attrs

from angle_reco.domain.errors import InvalidValueError
from angle_reco.domain.type_checks import exact_number, is_a

UNKNOWN_PRICE = -1
"""Stands for an unknown price, among units."""

LARGEST_PRICE = 10**18
"""In units; twice as much still fits 64 bits."""

# A context of our own, independent of the host's: money is never rounded.
_EXACT = Context(prec=60, traps=[Inexact, InvalidOperation])


@attrs.frozen
class PriceScale:
    """How many units make 1.00 of the host's currency; a power of ten."""

    units: int = attrs.field(default=10_000)

    @units.validator
    def _is_power_of_ten(self, _: object, value: object) -> None:
        if type(value) is not int or value not in {10**places for places in range(10)}:
            raise InvalidValueError("price scale", value, "a power of ten from 1 to 10^9")

    def to_units(self, amount: object, what: str) -> int:
        """Return money in units.

        Raises:
            InvalidValueError: It is negative, no number, too large, or has too many decimals.
        """
        number = None if is_a(amount, float) else exact_number(amount)
        if number is None:
            # A float such as 19.9 prints like an amount but is another number.
            raise InvalidValueError(what, amount, f"{self._expected}, as a Decimal or an int")
        try:
            # The bounds are checked first, so that 1e999999 is never written out in digits.
            if 0 <= number <= LARGEST_PRICE // self.units:
                exact = _EXACT.quantize(number, self._unit)
                return int(_EXACT.scaleb(exact, self._places))
        except (Inexact, InvalidOperation):
            pass
        raise InvalidValueError(what, amount, self._expected)

    def units_of(self, amount: Decimal | None) -> int:
        """Return a price in units, or UNKNOWN_PRICE.

        Raises:
            InvalidValueError: It is not an amount that `to_units` takes.
        """
        return UNKNOWN_PRICE if amount is None else self.to_units(amount, "price")

    def to_money(self, units: int) -> Decimal:
        """Return units as money, without trailing zeros.

        >>> PriceScale().to_money(25_500), PriceScale().to_money(30_000)
        (Decimal('2.55'), Decimal('3'))
        """
        money = _EXACT.scaleb(Decimal(units), -self._places)
        whole = money.to_integral_value()
        return whole if money == whole else _EXACT.normalize(money)

    @cached_property
    def _places(self) -> int:
        return len(str(self.units)) - 1

    @cached_property
    def _unit(self) -> Decimal:
        return _EXACT.scaleb(Decimal(1), -self._places)

    @property
    def _expected(self) -> str:
        most = LARGEST_PRICE // self.units
        return f"an amount from 0 to {most:,} with at most {self._places} decimals"
