"""A whole cluster inside a test: simulated nodes, time turned by hand, faults on schedule."""
