"""`navarch net check`: probes on every path of the cluster's network, and what they say of where it is broken."""
