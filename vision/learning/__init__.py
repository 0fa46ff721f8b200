"""Fine-tuning: an encoder learns from a shop's own pictures."""
