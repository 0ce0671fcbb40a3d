"""Where a Service's traffic may go: EndpointSlices, the older Endpoints, and mirrors of hand-written ones."""
