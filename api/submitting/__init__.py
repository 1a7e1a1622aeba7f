"""What a submitter and a curator do from the command line: make a submission, send it, answer pull requests."""
