"""The endpoints against their own OpenAPI schema, by schemathesis: no 5xx, and no undescribed answer."""

from importlib import import_module

import pytest

pytest.importorskip("fastapi", reason="needs the extra [api]")
pytest.importorskip("schemathesis", reason="schemathesis is not installed: [fuzz]")

import schemathesis
from desks import still_market
from hypothesis import settings

from mm.api.app import made_app

CHECKS = [
    schemathesis.checks.not_a_server_error,
    *(
        getattr(import_module("schemathesis.specs.openapi.checks"), name)
        for name in ("status_code_conformance", "response_schema_conformance")
    ),
]
schema = schemathesis.openapi.from_asgi("/openapi.json", made_app(still_market()))


@schema.parametrize()
@settings(max_examples=60)
def test_every_answer_is_described(case):
    """Bodies, paths and queries, valid and invalid by the schema."""
    case.call_and_validate(checks=CHECKS)
