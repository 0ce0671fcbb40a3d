"""What a node does when memory, disk or process ids run short: signals, thresholds, ranking, eviction."""
