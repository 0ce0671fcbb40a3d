"""The audit log: who did what when, by rules that the cluster's owner wrote."""
