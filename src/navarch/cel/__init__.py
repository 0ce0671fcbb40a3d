"""The Common Expression Language as Kubernetes speaks it: parsed, compiled to closures, counted while it runs."""
