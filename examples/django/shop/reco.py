"""How recommendations read the shop: all that the site writes for them."""

from django.contrib.auth import get_user_model
from django.db.models import F

from angle_reco.django import Market
from shop.models import Bid, Lot, Watch


class AuctionMarket(Market):
    """Users, lots, bids and watches, with the names that recommendations know."""

    users = get_user_model().objects.values(
        user_id=F("pk"), created_at=F("date_joined"), last_sign_in_at=F("last_login")
    )
    items = Lot.objects.values(
        *("category_id", "seller_id", "title", "starting_price", "status", "ends_at"),
        item_id=F("pk"),
        listed_at=F("created_at"),
    )
    bids = Bid.objects.values("user_id", "amount", "placed_at", item_id=F("lot_id"))
    watches = Watch.objects.values("user_id", "watched_at", item_id=F("lot_id"))
    cards = Lot.objects.with_prices()
