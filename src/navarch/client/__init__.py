"""How every organ reaches the cluster's state: the seam `Client`, its HTTP form, informers, leases and events."""
