from ringback.web.handlers import HeldRequest, NotFound, RequestHandler, asynchronous
from ringback.web.server import serve

__all__ = ["HeldRequest", "NotFound", "RequestHandler", "asynchronous", "serve"]
