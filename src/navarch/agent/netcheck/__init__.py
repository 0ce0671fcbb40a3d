"""What a node does for `navarch net check`: sends probes from its pods' networks, answers them, tells what it has."""
