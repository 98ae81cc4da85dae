"""What became of trajectories: rollouts, forks, texts, KL."""
