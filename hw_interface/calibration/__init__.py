"""What is measured on an arm before it is used: estimators, and the files that keep the results."""
