"""Load balancers' addresses on the link: one node answers for each of them, and another when that one is gone."""
