"""What pulling an image takes: its name, whose credentials open its registry, how many at once, who may use it."""
