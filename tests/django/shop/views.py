from typing import Any

from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import path
from django.views.decorators.http import require_POST

from tests.django.shop.models import Bid, Lot


def home(request: Any) -> HttpResponse:
    return render(request, "shop/home.html")


def lot(request: Any, pk: int) -> HttpResponse:
    return render(request, "shop/lot.html", {"lot": get_object_or_404(Lot, pk=pk)})


@login_required
@require_POST
def bid(request: Any, pk: int) -> HttpResponse:
    Bid.objects.create(bidder=request.user, lot_id=pk, cents=int(request.POST["cents"]))
    if "fail" in request.POST:
        raise ValueError("the request fails after the bid")
    return redirect("home")


async def coroutine(request: Any) -> HttpResponse:
    return HttpResponse("a coroutine")


urlpatterns = [
    path("", home, name="home"),
    path("lots/<int:pk>/", lot, name="lot"),
    path("lots/<int:pk>/bid/", bid, name="bid"),
    path("coroutine/", coroutine),
]
