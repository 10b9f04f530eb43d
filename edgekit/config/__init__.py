"""YAML files with errors that name file and line, look-up of files by name, base of JSON output."""
