"""What the catalogue stores, how it is searched, and how well."""
