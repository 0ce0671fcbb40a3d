"""Groups and versions of the API that other servers answer for: who they are, whether they answer, what they serve."""
