"""Where a project runs: the machine itself."""
