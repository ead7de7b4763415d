"""nginx in front of the project: the file that it reads, and the process that reads it."""
