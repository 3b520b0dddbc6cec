"""`edgellm report`: one HTML page about a compiled design, from the JSON files in its folder; nothing is simulated here."""
