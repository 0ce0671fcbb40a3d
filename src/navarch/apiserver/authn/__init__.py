"""Who is asking: client certificates, tokens, the server's own socket, and speaking for somebody else."""
