"""Time, memory and operations of training, inference, grouping and scoring."""
