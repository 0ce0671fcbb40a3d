"""Which CPUs and devices of a machine a container gets to itself, and how near to each other they lie."""
