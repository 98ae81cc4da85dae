"""Which coefficient is dose 1: statistics of KL and the search for a target."""
