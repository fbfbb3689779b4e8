"""Errors as RFC 9457 problem+json: a stable `type`, no input value ever repeated."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import orjson
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException
from starlette.responses import Response

PROBLEM_JSON = "application/problem+json"
_FIELD_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}\Z")
_TITLES = {404: ("not-found", "Nothing is here"), 405: ("method-not-allowed", "This method is not offered here")}

ExtraForErrors = Callable[[Request], Mapping[str, Any]]


class Problem(Exception):
    """An error the caller is told of: `type` becomes `urn:vigil:problem:<slug>`, `extra` further members of the body."""

    def __init__(
        self,
        status: int,
        slug: str,
        title: str,
        detail: str | None = None,
        *,
        extra: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(slug)
        self.status = status
        self.slug = slug
        self.title = title
        self.detail = detail
        self.extra = dict(extra or {})
        self.headers = dict(headers or {})

    def body(self) -> dict[str, Any]:
        """The members of the problem document."""
        members: dict[str, Any] = {"type": f"urn:vigil:problem:{self.slug}", "title": self.title, "status": self.status}
        if self.detail is not None:
            members["detail"] = self.detail
        return members | self.extra


class ProblemDocument(BaseModel):
    """A problem document (RFC 9457) as OpenAPI describes it."""

    model_config = ConfigDict(extra="allow")
    type: str = Field(examples=["urn:vigil:problem:not-found"])
    title: str
    status: int
    detail: str | None = None


def problem_response(problem: Problem, extra: Mapping[str, Any] | None = None) -> Response:
    """The response of a problem; `extra` never overrides what the problem itself says."""
    body = {**(extra or {}), **problem.body()}
    return Response(orjson.dumps(body), problem.status, problem.headers, PROBLEM_JSON)


def install_problem_handlers(app: FastAPI, extra_for_all_errors: ExtraForErrors | None) -> None:
    """Let every error of the application leave as problem+json."""

    def respond(request: Request, problem: Problem) -> Response:
        return problem_response(problem, extra_for_all_errors(request) if extra_for_all_errors is not None else None)

    async def on_problem(request: Request, error: Exception) -> Response:
        assert isinstance(error, Problem)
        return respond(request, error)

    async def on_http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        slug, title = _TITLES.get(error.status_code, (f"http-{error.status_code}", "The request was refused"))
        return respond(request, Problem(error.status_code, slug, title, headers=error.headers))

    async def on_invalid(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        return respond(request, invalid(error.errors()))

    async def on_defect(request: Request, error: Exception) -> Response:
        return respond(request, Problem(500, "internal", "The service failed to answer"))

    app.add_exception_handler(Problem, on_problem)
    app.add_exception_handler(HTTPException, on_http)
    app.add_exception_handler(RequestValidationError, on_invalid)
    app.add_exception_handler(Exception, on_defect)


def invalid(errors: Sequence[Any]) -> Problem:
    """The 422 for validation errors as pydantic lists them: where and which rule, never the value."""
    told = [{"loc": _place(error), "code": str(error.get("type", "invalid"))} for error in errors]
    return Problem(422, "validation", "The request is not valid", extra={"errors": told})


def _place(error: Mapping[str, Any]) -> list[str | int]:
    # The name of a surplus field is the caller's own text; so is any key that is no plain field name.
    loc = list(error.get("loc", ()))
    if error.get("type") == "extra_forbidden" and loc:
        loc[-1] = "?"
    return [part if isinstance(part, int) or _FIELD_NAME.match(str(part)) else "?" for part in loc]
