"""What travels between the stages and what they have agreed on."""
