"""Similar posts: each post's neighbours, of what is liked together and of what texts are about."""
