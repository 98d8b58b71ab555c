"""Pure functions on nets as messages (NetParameter): what is wrong with one, and feeding one from memory."""
