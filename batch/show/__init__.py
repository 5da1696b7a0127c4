"""What a person is shown: the demo, a user's list from inside."""
