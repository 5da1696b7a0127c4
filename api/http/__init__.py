"""What is below the routes: the server and its HTTP protocol."""
