"""What a ranking is worth on data that is already known: rankers judged by what users did next."""
