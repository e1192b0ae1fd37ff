"""What scores are worth: metrics, their intervals, and the tables made of them."""
