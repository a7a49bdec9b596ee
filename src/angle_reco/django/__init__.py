"""Integration with Django: add `angle_reco.django` to INSTALLED_APPS."""

from angle_reco.django.connecting import recommender
from angle_reco.django.market import Market
from angle_reco.django.pages import PageView, page_view
from angle_reco.django.signals import report

__all__ = ["Market", "PageView", "page_view", "recommender", "report"]
