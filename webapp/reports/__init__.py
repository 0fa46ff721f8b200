"""Reports of evaluations: tables, charts and HTML files."""
