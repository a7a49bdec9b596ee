"""What the site sells, and what its users do."""

from decimal import Decimal

from django.conf import settings
from django.db import models
from django.urls import reverse
from django.utils import timezone


class Category(models.Model):
    """A kind of lots."""

    name = models.CharField(max_length=80, unique=True)

    @property
    def hue(self) -> int:
        """Return the colour of its lots, in degrees."""
        return self.pk * 47 % 360


class LotQuerySet(models.QuerySet["Lot"]):
    """Lots with what a card shows."""

    def with_prices(self) -> "LotQuerySet":
        """Add the highest bid and the number of bids."""
        return self.select_related("category", "seller").annotate(
            highest=models.Max("bid__amount"), bids=models.Count("bid")
        )

    def open(self) -> "LotQuerySet":
        """Return the lots that take bids now."""
        return self.filter(status=Lot.Status.ACTIVE, ends_at__gt=timezone.now())


class Lot(models.Model):
    """A thing for sale until a moment, to the highest bid."""

    class Status(models.TextChoices):
        """Whether it takes bids."""

        ACTIVE = "active"
        CANCELLED = "cancelled"
        SOLD = "sold"

    title = models.CharField(max_length=200)
    category = models.ForeignKey(Category, models.PROTECT)
    seller = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="lots")
    starting_price = models.DecimalField(max_digits=12, decimal_places=2)
    status = models.CharField(max_length=10, choices=Status.choices, default=Status.ACTIVE)
    ends_at = models.DateTimeField()
    created_at = models.DateTimeField(default=timezone.now)

    objects = LotQuerySet.as_manager()

    def __str__(self) -> str:
        return str(self.title)

    def get_absolute_url(self) -> str:
        """Return the address of its page."""
        return reverse("lot", args=[self.pk])

    @property
    def picture(self) -> str:
        """Return the colours and circles that stand for a picture, as CSS."""
        left, top, size = self.pk * 29 % 50 + 10, self.pk * 17 % 40 + 8, self.pk * 13 % 14 + 12
        return f"--hue: {self.category.hue}; --x: {left}%; --y: {top}%; --size: {size}%"

    @property
    def price(self) -> Decimal:
        """Return the highest bid, or the starting price."""
        return getattr(self, "highest", None) or self.starting_price

    @property
    def next_bid(self) -> Decimal:
        """Return the least that the next bid has to be: a twentieth more."""
        return (self.price * Decimal("1.05")).quantize(Decimal(1)) + 1

    @property
    def is_open(self) -> bool:
        """Return whether it takes bids now."""
        return self.status == self.Status.ACTIVE and self.ends_at > timezone.now()


class Bid(models.Model):
    """An offer for a lot."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE)
    lot = models.ForeignKey(Lot, models.CASCADE)
    amount = models.DecimalField(max_digits=12, decimal_places=2)
    placed_at = models.DateTimeField(default=timezone.now)


class Watch(models.Model):
    """A lot on the watchlist of a user."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE)
    lot = models.ForeignKey(Lot, models.CASCADE)
    watched_at = models.DateTimeField(default=timezone.now)

    class Meta:
        """A lot is on a watchlist once."""

        constraints = (models.UniqueConstraint(fields=["user", "lot"], name="watched_once"),)
