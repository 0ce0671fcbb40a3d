"""CertificateSigningRequests: what agents ask for is approved, what was approved is signed, what is over is removed."""
