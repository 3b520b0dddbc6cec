"""What clients see: OpenAI's routes and errors, intents, and what a supervisor asks."""
