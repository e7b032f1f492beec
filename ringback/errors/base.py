"""What all errors of this package are, and the errors of a start. Pure data."""


class RingbackError(Exception):
    """A request could not be answered with a task's result.

    :param detail: what happened, as the client reads it.
    :param call_id: the id of the Celery task concerned, if there is one.
    """

    status = 500
    slug = "error"
    retry_after: int | None = None  #: seconds after which the client may ask again

    def __init__(self, detail: str, call_id: str | None = None) -> None:
        super().__init__(detail, call_id)
        self.detail, self.call_id = detail, call_id

    def __str__(self) -> str:
        return f"{self.detail} (task {self.call_id})" if self.call_id else self.detail

    def problem(self) -> dict[str, object]:
        """Return the members of the answer's body, ``application/problem+json`` (RFC 9457)."""
        body: dict[str, object] = {
            "type": f"/problems/{self.slug}",
            "title": self.slug.replace("-", " ").capitalize(),
            "status": self.status,
            "detail": self.detail,
        }
        if self.call_id is not None:
            body["id"] = self.call_id
        return body


class BadSetting(Exception):
    """An environment variable, a flag or a setting of the Celery app has a value that cannot be used."""


class UnsupportedVersion(BadSetting):
    """A library lacks a name that this package needs; the message lists what is missing and the tested versions."""
