"""A small shop: a web service and a worker over PostgreSQL and Redis."""
