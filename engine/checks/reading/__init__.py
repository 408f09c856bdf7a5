"""How suite files become suites: TOML, YAML and a part of promptfoo's YAML.

Knows formats, and names file, line, key and what was expected where one is broken.
"""
