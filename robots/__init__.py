"""What a robot is and what a task is: the data types and protocols that all packages share."""
