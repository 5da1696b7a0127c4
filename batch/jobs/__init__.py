"""What is run as a whole: one file a job, straight steps, each taking the last one's value."""
