"""The parts that more than one method is made of."""
