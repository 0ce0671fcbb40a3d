"""Services and pod addresses as rules of the kernel."""
