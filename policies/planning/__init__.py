"""Planning shared by methods: iCEM, model-predictive control, terminal values."""
