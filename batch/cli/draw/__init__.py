"""Results on a terminal: tables and plots of what a job returns."""
