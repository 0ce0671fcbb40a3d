"""A pod's volumes: what is in them (pure), how it gets onto the disk, and where containers see it."""
