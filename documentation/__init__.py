"""What `make docs` makes besides the site: pages from code, and DVC's page of plots."""
