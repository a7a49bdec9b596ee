"""The shop: lots, bids and watchlists."""
