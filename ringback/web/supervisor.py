"""Several web processes: forked before there is anything of Celery or of gevent's hub, replaced when they die.

The parent runs a ``Supervisor`` on its one greenlet, without a hub, so it uses only the originals of what gevent
patches. In each child ``fork`` returns a ``ProcessContext``, which belongs to the loop. Signals and the children's
messages reach the parent as one stream of bytes, so that no work is done in a signal handler, where it would race with
a fork.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress

from gevent import monkey

from ringback.web.balance import Balance, ConnectionCounts
from ringback.web.sockets import Listener
from ringback.wire import Backoff

logger = logging.getLogger(__name__)

_fork = monkey.get_original("os", "fork")  # gevent's would watch the child on a hub
_waitpid = monkey.get_original("os", "waitpid")
_select = monkey.get_original("select", "select")
_signal = monkey.get_original("signal", "signal")  # gevent's would make a hub for SIGCHLD

#: The signals that end all processes.
ENDS = (signal.SIGTERM, signal.SIGINT)
SIGNALS = (*ENDS, signal.SIGCHLD)

#: The children's messages, beyond the numbers of signals: "I serve", and "I must be the sole process".
SERVING, SOLE = 128, 129


def fork(count: int, sockets: Sequence[socket.socket], reloads: bool = False) -> ProcessContext:
    """Fork web processes. Returns in each of them; the parent stays here, and ends with the last of them.

    The first process is alone until it serves, so that a bad setting is reported once; its exit code is the parent's.

    :param count: how many processes.
    :param sockets: the sockets that they listen on together; not gevent's, since those need a hub.
    :param reloads: whether they handle SIGHUP, so that the parent passes it on; otherwise SIGHUP ends the parent.
    """
    return Supervisor(count, sockets, reloads).watch()


class ProcessContext:
    """What one of several web processes knows of the others.

    :param first: whether it is the one that logs and prints for all.
    :param balance: with the others, of the connections.
    :param lifeline: a descriptor that reaches its end when the parent ends.
    :param parent: a descriptor that the parent reads.
    """

    def __init__(
        self, sockets: Sequence[socket.socket], first: bool, balance: Balance, lifeline: int, parent: int
    ) -> None:
        self._sockets, self.first, self.balance = sockets, first, balance
        self._lifeline, self._parent = lifeline, parent

    def sockets(self) -> list[Listener]:
        """The listening sockets. Call it once."""
        sockets = [Listener(fileno=plain.detach()) for plain in self._sockets]
        for sock in sockets:
            sock.setblocking(False)
        return sockets

    def stay_sole(self) -> None:
        """Have no other process forked."""
        self.balance = Balance()
        self._tell(SOLE)

    def serving(self, on_orphaned: Callable[[], object]) -> None:
        """Tell the parent that this process serves; ``on_orphaned`` is called when the parent has ended."""
        loop = asyncio.get_running_loop()

        def orphaned() -> None:
            loop.remove_reader(self._lifeline)
            on_orphaned()

        loop.add_reader(self._lifeline, orphaned)
        self._tell(SERVING)

    def _tell(self, message: int) -> None:
        with suppress(BrokenPipeError):  # the parent has ended
            os.write(self._parent, bytes([message]))


class RespawnBackoff:
    """When a process that has died may be replaced: at once, but with growing pauses if processes go on dying.

    The death of a process that has lived for more than ten seconds is an accident, and no reason to wait.

    :param clock: seconds that never go back.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self._pauses, self._next = Backoff(shortest=1.0, longest=30.0, steady=10.0), clock()

    def died(self, born: float) -> None:
        """Note that a process has died that was born at this time."""
        now = self.clock()
        self._next = now + self._pauses.failed(worked_for=now - born)

    def wait(self) -> float:
        """The seconds until another process may be started."""
        return max(0.0, self._next - self.clock())


class Supervisor:
    """Keeps so many processes alive until it is told to end."""

    def __init__(self, count: int, sockets: Sequence[socket.socket], reloads: bool = False) -> None:
        self._count, self._sockets, self._backoff = count, sockets, RespawnBackoff()
        self._signals = (*SIGNALS, signal.SIGHUP) if reloads else SIGNALS
        self._children: dict[int, float] = {}  # by process id: when it was born
        self._counts = ConnectionCounts(count)
        self._numbers: dict[int, int] = {}  # by process id: from 0 on
        self._wanted, self._serving, self._code = 1, False, 0
        self._lifeline, self._held = os.pipe()
        self._events, self._wakeup = os.pipe()
        os.set_blocking(self._wakeup, False)  # set_wakeup_fd requires it

    def watch(self) -> ProcessContext:
        """Start processes and replace them until the last has ended, then exit; returns in the children only."""
        for number in self._signals:
            _signal(number, lambda number, frame: None)
        signal.set_wakeup_fd(self._wakeup)
        while self._wanted or self._children:
            while len(self._children) < self._wanted and not self._backoff.wait():
                process = min(set(range(self._count)) - set(self._numbers.values()))
                if not self._start(process):
                    balance = Balance(self._counts, process)
                    return ProcessContext(self._sockets, not self._serving, balance, self._lifeline, self._wakeup)
            self._listen()
            self._reap()
        sys.exit(self._code)

    def _start(self, process: int) -> int:
        """Fork the process of this number; returns the new child's process id, and 0 in the child itself."""
        sys.stdout.flush()  # or each child would write what is in the buffer
        signal.pthread_sigmask(signal.SIG_BLOCK, self._signals)  # a signal of the child's must not get into our stream
        pid: int = _fork()
        if pid:
            self._children[pid], self._numbers[pid] = self._backoff.clock(), process
        else:
            self._leave()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, self._signals)
        return pid

    def _leave(self) -> None:
        """In a child: undo what belongs to the parent."""
        signal.set_wakeup_fd(-1)
        for number in self._signals:  # SIGHUP would end a child that cannot handle it yet
            _signal(number, signal.SIG_IGN if number == signal.SIGHUP else signal.SIG_DFL)
        os.close(self._held)
        os.close(self._events)

    def _listen(self) -> None:
        """Wait for a signal, for a child's message, or until a process may be started."""
        timeout = self._backoff.wait() if len(self._children) < self._wanted else None
        if not _select([self._events], [], [], timeout)[0]:
            return
        for event in os.read(self._events, 4096):
            if event in ENDS:
                self._end()
            elif event == signal.SIGHUP:
                self._pass_on(signal.SIGHUP)
            elif event == SOLE:
                self._count = 1
            elif event == SERVING and self._wanted:
                self._serving, self._wanted = True, self._count

    def _end(self) -> None:
        self._wanted = 0
        for sock in self._sockets:
            sock.close()  # or new connections would wait for an answer until we have ended
        self._pass_on(signal.SIGTERM)

    def _pass_on(self, number: signal.Signals) -> None:
        for pid in self._children:
            os.kill(pid, number)

    def _reap(self) -> None:
        for pid, born in list(self._children.items()):
            ended, status = _waitpid(pid, os.WNOHANG)
            if ended:
                del self._children[pid]
                self._counts.set(self._numbers.pop(pid), 0)
                self._on_death(pid, born, os.waitstatus_to_exitcode(status))

    def _on_death(self, pid: int, born: float, code: int) -> None:
        if not self._wanted:
            return
        if self._serving:
            logger.warning("web process %d has ended %s and is replaced", pid, _how(code))
            self._backoff.died(born)
            return
        if code < 0:  # or else it has reported why
            logger.error("the first web process has ended %s", _how(code))
        self._code = code if code >= 0 else 128 - code  # as a shell has it
        self._end()


def _how(code: int) -> str:
    return f"with exit code {code}" if code >= 0 else f"by signal {-code}"
