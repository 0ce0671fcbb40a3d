"""The one way in: bytes to requests, through the chain, to the verbs, to the store, and back."""
