"""The results and the bookkeeping of jobs, in tables of ours."""
