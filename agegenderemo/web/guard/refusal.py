"""How a request is turned down: a status and one sentence."""

from starlette.responses import JSONResponse, Response

_RETRY_SECONDS = "60"


class Refusal(Exception):
    """A request that is not carried out; the message is one sentence for people."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status

    def response(self) -> Response:
        """The answer, in the shape of gradio's own errors: ``{"detail": sentence}``. The connection
        is closed, for the rest of the request may still be on its way."""
        headers = {"connection": "close", "cache-control": "no-store"}
        if self.status in (429, 503):
            headers["retry-after"] = _RETRY_SECONDS
        return JSONResponse({"detail": str(self)}, self.status, headers)


NOT_FOUND = "There is nothing here."


def not_found() -> Refusal:
    """What every path gets that is not on the list."""
    return Refusal(404, NOT_FOUND)
