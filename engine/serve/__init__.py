"""One model behind OpenAI's HTTP interface, for the programs of this machine alone."""
