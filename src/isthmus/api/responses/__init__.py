"""What answers hold, for the API's description. `documents` makes the answers; tests hold both together."""
