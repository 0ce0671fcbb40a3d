"""Pure algorithms on documents: no IO, no clock, no knowledge of any one kind."""
