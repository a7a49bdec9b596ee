"""SQL stores for the results and the bookkeeping of jobs."""
