"""The command line of netbuild: each command parses, makes one library call and prints."""
