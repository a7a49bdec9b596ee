"""A simulated auction marketplace: people with tastes, lots that sound real, bids that rise."""

from angle_reco.simulation.columns import Bids, Items, Marketplace, Users, Watches
from angle_reco.simulation.marketplace import MarketplaceShape, simulate

__all__ = ["Bids", "Items", "Marketplace", "MarketplaceShape", "Users", "Watches", "simulate"]
