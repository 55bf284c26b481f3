"""What everything else stands on: the interfaces of parts, sources of logits, compilation, random numbers, gradients."""
