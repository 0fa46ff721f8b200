"""What products are: feeds' labels, people's decisions, and the head's predictions."""
