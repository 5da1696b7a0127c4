"""Where facts come from: tables in, checked rows out."""
