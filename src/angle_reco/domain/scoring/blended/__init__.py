"""The ranker `blended`: a trained model, what it says of items, and what it says to a user."""
