"""Producing what is stored: the batch jobs, and the runs that execute them."""
