"""The committed schemas. To write them anew: make docs."""

import json

import pytest

from edgekit.schemas import committed, schemas


@pytest.mark.parametrize("name", schemas())
def test_the_committed_json_schema_is_that_of_the_code(name):
    assert json.loads(committed(name).read_text()) == schemas()[name]
