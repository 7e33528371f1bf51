"""Reads a JSON array of file contents from stdin and prints the JSON array of what
python-dotenv makes of each.

    python read.py [DIRECTORY]

DIRECTORY, if given, holds the release to use instead of the installed one.
"""

import io
import json
import logging
import sys

if len(sys.argv) > 1:
    sys.path.insert(0, sys.argv[1])

from dotenv import dotenv_values  # noqa: E402

# It logs every line that it cannot read; the tests expect some.
logging.disable(logging.CRITICAL)

contents = json.load(sys.stdin)
json.dump([dotenv_values(stream=io.StringIO(content)) for content in contents], sys.stdout)
