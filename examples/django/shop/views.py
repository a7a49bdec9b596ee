"""The pages."""

from decimal import Decimal, InvalidOperation

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_POST

from shop.models import Bid, Lot, Watch


def home(request: HttpRequest) -> HttpResponse:
    """Show what the user may like, and what ends soon."""
    ending = Lot.objects.open().with_prices().order_by("ends_at")[:4]
    return render(request, "shop/home.html", {"ending": ending})


def lot(request: HttpRequest, pk: int) -> HttpResponse:
    """Show a lot with similar ones, and after a bid what goes with it."""
    shown = get_object_or_404(Lot.objects.with_prices(), pk=pk)
    is_watched = (
        request.user.is_authenticated and shown.watch_set.filter(user=request.user).exists()
    )
    bids = shown.bid_set.select_related("user").order_by("-amount")[:5]
    context = {"lot": shown, "is_watched": is_watched, "bids": bids}
    return render(request, "shop/lot.html", context | {"has_bid": "bid" in request.GET})


@login_required
@require_POST
@transaction.atomic
def bid(request: HttpRequest, pk: int) -> HttpResponse:
    """Take a bid that is high enough."""
    offered = get_object_or_404(Lot.objects.with_prices(), pk=pk)
    try:
        amount = Decimal(request.POST.get("amount", ""))
    except InvalidOperation:
        amount = Decimal(0)
    if not offered.is_open or offered.seller == request.user:
        messages.error(request, "This lot takes no bids of yours.")
    elif not offered.next_bid <= amount <= 10**9:
        messages.error(request, f"The next bid is at least €{offered.next_bid:,}.")
    else:
        Bid.objects.create(user=request.user, lot=offered, amount=amount)
        messages.success(request, f"You are the highest bidder with €{amount:,}.")
        return redirect(f"{offered.get_absolute_url()}?bid=1")
    return redirect(offered)


@login_required
@require_POST
def watch(request: HttpRequest, pk: int) -> HttpResponse:
    """Put a lot on the watchlist, or take it off."""
    watched = get_object_or_404(Lot, pk=pk)
    one, is_new = Watch.objects.get_or_create(user=request.user, lot=watched)
    if not is_new:
        one.delete()
    messages.success(request, "On your watchlist." if is_new else "Off your watchlist.")
    return redirect(watched)


@login_required
@require_POST
def withdraw(request: HttpRequest, pk: int) -> HttpResponse:
    """Take a lot of the user's off the site."""
    withdrawn = get_object_or_404(Lot, pk=pk, seller=request.user)
    withdrawn.status = Lot.Status.CANCELLED
    withdrawn.save()
    messages.success(request, f"{withdrawn} is withdrawn.")
    return redirect("listings")


@login_required
def watchlist(request: HttpRequest) -> HttpResponse:
    """Show what the user watches, open lots first."""
    lots = Lot.objects.with_prices().filter(watch__user=request.user).order_by("ends_at")
    lots = sorted(lots, key=lambda lot: not lot.is_open)
    return render(request, "shop/watchlist.html", {"lots": lots})


@login_required
def listings(request: HttpRequest) -> HttpResponse:
    """Show what the user sells."""
    lots = Lot.objects.with_prices().filter(seller=request.user).order_by("status", "-ends_at")
    return render(request, "shop/listings.html", {"lots": lots})
