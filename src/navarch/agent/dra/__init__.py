"""Devices that claims of pods were given: drivers on the node prepare them, and containers are started with them."""
