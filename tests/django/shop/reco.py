"""How the shop maps its models: what a host writes."""

from decimal import Decimal

from django.contrib.auth import get_user_model
from django.db.models import Case, CharField, F, Value, When

from angle_reco.django import Market
from tests.django.shop.models import Bid, Lot, Watch


class ShopMarket(Market):
    users = get_user_model().objects.values(
        user_id=F("pk"), created_at=F("date_joined"), last_sign_in_at=F("last_login")
    )
    items = Lot.objects.values(
        "category_id",
        "seller_id",
        "title",
        item_id=F("pk"),
        starting_price=F("start_cents") / Decimal(100),
        ends_at=F("closes_at"),
        listed_at=F("created_at"),
        status=Case(
            When(state="draft", then=Value("pending")),
            When(state="won", then=Value("sold")),
            default=Value("active"),
            output_field=CharField(),
        ),
    )
    bids = Bid.objects.filter(is_cancelled=False).values(
        item_id=F("lot"),
        user_id=F("bidder"),
        amount=F("cents") / Decimal(100),
        placed_at=F("made_at"),
    )
    watches = Watch.objects.values("user_id", item_id=F("lot"), watched_at=F("since"))
    cards = Lot.objects.select_related("category")
