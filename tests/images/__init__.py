"""The images: what can be said of them without building one, and with an engine."""
