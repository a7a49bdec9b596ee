"""Computing the stored results: the batch jobs, and the runs that execute them."""
