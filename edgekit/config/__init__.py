"""Reading YAML files with errors that name file and line, look-up of files by name, and the base of JSON output."""
