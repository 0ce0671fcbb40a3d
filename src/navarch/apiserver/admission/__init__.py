"""What every write must pass beyond its kind's own rules: one plugin a file, all of them in `PLUGINS`, in order."""
