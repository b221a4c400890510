"""The exchange's errors, with its documented codes and messages."""

from typing import Any

from mm.errors import MMError

BAD_REQUEST, UNAUTHORIZED, CONFLICT, TEAPOT, TOO_MANY = 400, 401, 409, 418, 429


class ApiError(MMError):
    """The exchange refuses a request; the book does not change. *retry_us* is when a retry may succeed, µs."""

    def __init__(
        self,
        code: int,
        msg: str,
        http_status: int = BAD_REQUEST,
        *,
        data: dict[str, Any] | None = None,
        retry_us: int | None = None,
    ) -> None:
        super().__init__(f"{code}: {msg}")
        self.code = code
        self.msg = msg
        self.http_status = http_status
        self.data = data
        self.retry_us = retry_us

    def content(self) -> dict[str, Any]:
        return {"code": self.code, "msg": self.msg} | ({} if self.data is None else {"data": self.data})


def mandatory(name: str) -> ApiError:
    return ApiError(-1102, f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed.")


def one_of_two(first: str, second: str) -> ApiError:
    return ApiError(-1102, f"Param '{first}' or '{second}' must be sent, but both were empty/null!")


def not_required(name: str) -> ApiError:
    return ApiError(-1106, f"Parameter '{name}' sent when not required.")


def not_valid(name: str) -> ApiError:
    return ApiError(-1130, f"Data sent for parameter '{name}' is not valid.")


def overflowed(name: str) -> ApiError:
    return ApiError(-1108, f"Parameter '{name}' overflowed.")


def bad_combination() -> ApiError:
    return ApiError(-1128, "Combination of optional parameters invalid.")


def invalid_message(msg: str) -> ApiError:
    return ApiError(-1013, msg)


def filter_failure(name: str) -> ApiError:
    return invalid_message(f"Filter failure: {name}")


def order_rejected(msg: str) -> ApiError:
    return ApiError(-2010, msg)


def cancel_rejected(msg: str = "Unknown order sent.") -> ApiError:
    return ApiError(-2011, msg)


def no_such_order() -> ApiError:
    return ApiError(-2013, "Order does not exist.")
