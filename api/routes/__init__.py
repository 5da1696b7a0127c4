"""Routes: a request is parsed, looked up, chosen from and answered; nothing is computed here."""
