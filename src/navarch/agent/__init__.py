"""What runs on every node: turns bound pods into containers and reports what became of them."""
