"""Export: what would be served to many users at once, in a file for mails and pushes."""
