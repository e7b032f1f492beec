"""What a start reads from its environment. Any greenlet."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import fields

from ringback.errors import BadSetting
from ringback.settings import values
from ringback.settings.table import Settings


def read(environ: Mapping[str, str] = os.environ) -> Settings:
    """Read the settings from the environment.

    :raises BadSetting: a value cannot be used; the message names the variable.
    """
    given = {}
    for each in fields(Settings):
        variable = each.metadata["variable"] if each.metadata else ""
        text = environ.get(variable)
        if text or (text is not None and each.metadata["parse"] is values.text):
            given[each.name] = each.metadata["parse"](variable, text)
    if environ.get("RINGBACK_TRACEBACKS"):
        raise BadSetting("RINGBACK_TRACEBACKS is RINGBACK_ERRORS=traceback now")
    settings = Settings(**given)
    if settings.wechat_token and not settings.wechat_task:
        raise BadSetting("RINGBACK_WECHAT_TOKEN is set, so RINGBACK_WECHAT_TASK has to name the task that replies")
    _check_safe_mode(settings)
    _check_weights(settings)
    return settings


def _check_weights(settings: Settings) -> None:
    """Check the tokens, and that the callers exist that have a weight. Without tokens an application may name them."""
    names = {grant.name for grant in settings.grants().values()}
    unknown = sorted(settings.weights.keys() - names)
    if names and unknown:
        raise BadSetting(f"RINGBACK_WEIGHTS: there is no caller {unknown[0]!r}; there are {', '.join(sorted(names))}")


def _check_safe_mode(settings: Settings) -> None:
    """Check the settings of WeChat's safe mode. No message repeats the key."""
    if not settings.wechat_aes_key:
        return
    if not re.fullmatch("[A-Za-z0-9+/]{43}", settings.wechat_aes_key):
        raise BadSetting("RINGBACK_WECHAT_AES_KEY: an EncodingAESKey has 43 letters and digits")
    for variable, value in (
        ("RINGBACK_WECHAT_TOKEN", settings.wechat_token),
        ("RINGBACK_WECHAT_APP_ID", settings.wechat_app_id),
    ):
        if not value:
            raise BadSetting(f"RINGBACK_WECHAT_AES_KEY is set, so {variable} has to be set, too")


def processes(environ: Mapping[str, str] = os.environ) -> int:
    """How many web processes ``WEB_CONCURRENCY`` asks for.

    :raises BadSetting: it is not a whole number above 0.
    """
    return values.whole_number("WEB_CONCURRENCY", environ.get("WEB_CONCURRENCY") or "1")


def port(text: str) -> int:
    """The TCP port that this text gives; 0 stands for a free one.

    :raises BadSetting: it is not a port number.
    """
    if not text.isdecimal() or int(text) > 65535:
        raise BadSetting(f"port {text!r}: --port, or else PORT, takes a number from 0 to 65535")
    return int(text)
