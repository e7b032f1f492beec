from ringback.calls.call import Call, Holder, call, current_holder
from ringback.calls.switchboard import Switchboard, install

__all__ = ["Call", "Holder", "Switchboard", "call", "current_holder", "install"]
