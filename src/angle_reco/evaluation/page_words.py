"""What the page says about its words, rankings and columns, for readers who know no metrics."""

WORDS = {
    "cut": "a moment of the past. Rankings saw what was known until then, and are asked what"
    " came after it",
    "touched": "bid on, or put on the watchlist",
    "question": "one user at one cut",
    "right items": "the items that the user touched next",
    "baseline": "the ranking that the others are compared with",
    "95 % interval": "how far the figure may be off by chance, with these users rather than"
    " others of the same kind. It is written as [from, to]",
}

RANKINGS = {
    "popular": "most bids and watches so far",
    "recent popular": "the same, the older ones counting less",
    "ending soonest": "the earliest end first",
    "classic": "the built-in ranker: categories that the user likes, popularity, time left",
    "blended": "a model of what all users bid on and watched, trained at each cut",
    "similar items": "the list of similar items that the site shows on an item's page",
    "similar by the model": "similar items with the setting `similar` on `blended`",
    "after a bid": "the list that the site shows after a bid",
    "popular in its category": "popular items of the category of the touched item",
    "als": "a published recommender: users and items as vectors (matrix factorisation)",
    "bm25": "a published recommender: items with the same users, frequent items counting less",
    "cosine": "a published recommender: items with the same users",
    "ease": "a published recommender: one linear model of all items",
    "rp3beta": "a published recommender: random walks from items over users to items",
}
"""What a ranking orders by. The others are rankers of the settings."""

METRICS = {
    "ratio": (
        "× baseline",
        "the NDCG@10 divided by that of the baseline, with its 95 % interval. If the interval"
        " includes 1, the difference may be chance",
    ),
    "hit": ("hit in ten", "questions with at least one right item among the first ten"),
    "ndcg": (
        "NDCG@10",
        "how many of the first ten items were right, the early ones counting more; 1 is perfect",
    ),
    "recall": ("recall", "the part of the right items that was among the ten"),
    "mrr": (
        "MRR",
        "1 divided by the place of the first right item among ten, 0 without one; the mean",
    ),
    "served": ("served", "questions that got at least one item"),
    "novelty": (
        "novelty",
        "how little known the shown items are, in bits: with one more, half as many users had"
        " touched them",
    ),
    "similarity": (
        "similar",
        "how similar the items of a page are, by category and price; 0 is not at all",
    ),
    "coverage": ("catalogue shown", "the part of the open items that was shown to any user asked"),
}
"""The heading and the meaning of each column of a table."""
