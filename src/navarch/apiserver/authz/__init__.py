"""Who may do what: RBAC, the narrower rules for nodes, and the roles that a new cluster begins with."""
