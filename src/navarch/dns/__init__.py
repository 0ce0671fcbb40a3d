"""Names of services and pods: objects to answers, answers to the wire."""
