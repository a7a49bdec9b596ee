"""The addresses of the site."""

from pathlib import Path

from django.contrib.auth.views import LoginView, LogoutView
from django.urls import path
from django.views.static import serve

from shop import views

STATIC = Path(__file__).parents[1] / "shop" / "static"

urlpatterns = [
    path("", views.home, name="home"),
    path("lots/<int:pk>/", views.lot, name="lot"),
    path("lots/<int:pk>/bid/", views.bid, name="bid"),
    path("lots/<int:pk>/watch/", views.watch, name="watch"),
    path("lots/<int:pk>/withdraw/", views.withdraw, name="withdraw"),
    path("watchlist/", views.watchlist, name="watchlist"),
    path("listings/", views.listings, name="listings"),
    path("sign-in/", LoginView.as_view(), name="login"),
    path("sign-out/", LogoutView.as_view(), name="logout"),
    path("static/<path:path>", serve, {"document_root": STATIC}),
]
