"""What a pre-training run will need, tried and counted before it is begun."""
