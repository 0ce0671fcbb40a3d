"""Which node each pod goes to, and why it goes to none."""
