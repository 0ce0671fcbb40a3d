"""Plans that make the cluster what its objects ask for, and the one runner that carries them out."""
