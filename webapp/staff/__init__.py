"""The staff pages, under ``/staff/``: review, products, imports, jobs, accounts."""
