"""What happens beside the training: selection, reports and safety."""
