"""A small auction site as tests of the integration need it."""

from typing import Any

from django.conf import settings
from django.db import models
from django.utils import timezone


class Category(models.Model):
    name = models.CharField(max_length=80)

    class Meta:
        app_label = "shop"


class Lot(models.Model):
    class State(models.TextChoices):
        DRAFT = "draft"
        OPEN = "open"
        SOLD = "won"

    title = models.CharField(max_length=200)
    category = models.ForeignKey(Category, models.PROTECT)
    seller = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="lots")
    start_cents = models.PositiveIntegerField(default=1_000)
    state = models.CharField(max_length=10, choices=State.choices, default=State.OPEN)
    closes_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField(default=timezone.now)
    tags = models.JSONField(default=dict)
    fans: Any = models.ManyToManyField(settings.AUTH_USER_MODEL, related_name="favourites")
    watchers: Any = models.ManyToManyField(
        settings.AUTH_USER_MODEL, through="Watch", related_name="watched"
    )

    class Meta:
        app_label = "shop"
        ordering = ("title",)

    def __str__(self) -> str:
        return str(self.title)


class SpecialLot(Lot):
    class Meta:
        app_label = "shop"
        proxy = True


class Bid(models.Model):
    bidder = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE)
    lot = models.ForeignKey(Lot, models.CASCADE)
    cents = models.PositiveIntegerField()
    made_at = models.DateTimeField(default=timezone.now)
    is_cancelled = models.BooleanField(default=False)

    class Meta:
        app_label = "shop"


class SpecialBid(Bid):
    class Meta:
        app_label = "shop"
        proxy = True


class Watch(models.Model):
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE)
    lot = models.ForeignKey(Lot, models.CASCADE)
    since = models.DateTimeField(default=timezone.now)

    class Meta:
        app_label = "shop"


class Odd(models.Model):
    """Fields that a market cannot read, and kinds of ids that others have."""

    code = models.CharField(primary_key=True, max_length=20)
    token = models.UUIDField(unique=True)
    data = models.JSONField(default=dict)
    lasts = models.DurationField(null=True)
    day = models.DateField(null=True)
    weight = models.FloatField(default=0)
    owner: Any = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, null=True)

    class Meta:
        app_label = "shop"
