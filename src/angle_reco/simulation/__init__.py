"""A simulated auction marketplace: users with tastes, lots with titles, rising bids."""

from angle_reco.simulation.columns import Bids, Items, Marketplace, Users, Watches
from angle_reco.simulation.marketplace import MarketplaceShape, simulate

__all__ = ["Bids", "Items", "Marketplace", "MarketplaceShape", "Users", "Watches", "simulate"]
