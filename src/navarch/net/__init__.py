"""The pods' network between nodes: every other node's addresses are reached by a route, over the link or a tunnel."""
