"""Reinforcement learning shared by methods: soft actor-critic, PPO, baseline, replay."""
