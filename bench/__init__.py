"""Load generator and benchmarks; nothing here is part of the installed tool."""
