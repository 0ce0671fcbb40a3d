"""Everything about each kind that the published schema cannot say, one file or package a kind."""
