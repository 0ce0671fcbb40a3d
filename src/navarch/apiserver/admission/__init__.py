"""What every write must pass beyond its kind's own rules: all plugins are named in `plugins`, in order."""
