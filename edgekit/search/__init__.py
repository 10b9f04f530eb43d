"""Finding other networks: compound scaling."""
