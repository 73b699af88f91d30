"""Training: recipes of steps, the trainer, losses, distillation, optimisers, several processes."""
