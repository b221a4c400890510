"""Requests as parsed, and responses as written."""

from mm.sim.wire.http_messages import json_response, read_request, refusal


def test_query_parameter_overrides_body_parameter():
    """As on the exchange."""
    request = read_request("POST", "/x?a=1", {}, b"a=2&b=3", "::1")
    assert request.params == {"a": "1", "b": "3"}


def test_json_body_is_not_parsed_as_form():
    """Control calls have a JSON body."""
    request = read_request("POST", "/sim/x", {"content-type": "application/json"}, b'{"a":1}', "::1")
    assert (request.params, request.body) == ({}, b'{"a":1}')


def test_path_is_decoded_and_query_is_kept_raw():
    """Routes are found by the path; signatures are made over the query."""
    request = read_request("GET", "/api%2Fv3/time?a=%2B&b=", {}, b"", "::1")
    assert (request.path, request.query, request.params) == ("/api/v3/time", "a=%2B&b=", {"a": "+", "b": ""})


def test_json_response_is_compact_utf8():
    """As on the exchange."""
    response = json_response(200, {"a": [1, "Ω"]}, {"X": "y"})
    assert response.body == '{"a":[1,"Ω"]}'.encode()
    assert response.headers == {"Content-Type": "application/json;charset=UTF-8", "X": "y"}


def test_refusal_contains_code_and_message():
    """Also where a connection is refused before any route."""
    assert refusal(400, -1000, "No.").body == b'{"code":-1000,"msg":"No."}'
