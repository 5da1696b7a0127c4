"""Raw tables as Arrow batches, from and to folders and databases; what they mean is decided elsewhere."""
