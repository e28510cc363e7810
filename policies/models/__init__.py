"""Learned models shared by methods: dynamics, posteriors over a latent task."""
