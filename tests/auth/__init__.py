"""What each team's users may do."""
