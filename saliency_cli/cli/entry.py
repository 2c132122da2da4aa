"""The console entry: runs the command and maps whatever happens to an exit code."""

import errno
import os
import signal
import sys
from collections.abc import Sequence

import click

from saliency_cli.cli.group import saliency
from saliency_cli.cli.stopping import (
    TerminatedError,
    flush_stdout,
    occupy_descriptors,
    raise_on_sigterm,
    reader_gone,
    silence,
)
from saliency_cli.cli.telling import say, tell
from saliency_cli.errors import OutputError, SaliencyError, UsageError

BUG = SaliencyError.exit_code
PROGRAM = "saliency"
COMPLETION = "_SALIENCY_COMPLETE"

_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)


def main() -> int:
    """Run the command line of this process and return its exit code."""
    occupy_descriptors()
    raise_on_sigterm()
    return run(sys.argv[1:])


def run(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit code; never raises."""
    debug = "--debug" in arguments
    code = _ended(arguments, debug=debug)
    try:
        flush_stdout()  # whatever the end was: what stays in the buffer can only fail silently later
    except OSError as error:
        return _operating_system(error, debug=debug)
    return code


def _ended(arguments: Sequence[str], *, debug: bool) -> int:
    try:
        return _invoke(arguments)
    except click.exceptions.Exit as leaving:
        return leaving.exit_code
    except click.ClickException as error:
        return _usage(error)
    except SaliencyError as error:
        _trace(error, wanted=debug)
        tell("error", error.message)
        if error.hint:
            tell("hint", error.hint)
        return error.exit_code
    except (KeyboardInterrupt, click.Abort) as stop:
        return _stopped(stop)
    except SystemExit as leaving:
        return _left(leaving)
    except OSError as error:
        return _operating_system(error, debug=debug)
    except Exception as error:  # noqa: BLE001 - the last line of defence: everything ends with a code of ours
        return _bug(error, debug=debug)


def _invoke(arguments: Sequence[str]) -> int:
    """Parse and call. Not `Group.main`: that turns Ctrl-C into `Abort` and a lost reader into exit 1."""
    if instruction := os.environ.get(COMPLETION):
        from click.shell_completion import shell_complete

        return shell_complete(saliency, {}, PROGRAM, COMPLETION, instruction)
    with saliency.make_context(PROGRAM, list(arguments), obj=(PROGRAM, *arguments)) as context:
        result = saliency.invoke(context)
    return result if isinstance(result, int) else 0


def _usage(error: click.ClickException) -> int:
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        say(error.format_message())
        return UsageError.exit_code
    text = error.format_message()
    tell("error", text[:1].lower() + text[1:])
    context = getattr(error, "ctx", None)
    if context is not None and "Did you mean" not in text and "did you mean" not in text:
        tell("hint", f"{context.command_path} --help")
    return UsageError.exit_code


def _stopped(stop: BaseException) -> int:
    terminated = isinstance(stop, TerminatedError)
    if sys.stderr is not None and sys.stderr.isatty():
        say("")  # the terminal has echoed ^C
    done, *hints = getattr(stop, "__notes__", None) or ["before the end"]
    say(f"{'terminated' if terminated else 'interrupted'}: {done}")
    for hint in hints:
        tell("hint", hint)
    return 128 + (signal.SIGTERM if terminated else signal.SIGINT)


def _left(leaving: SystemExit) -> int:
    if leaving.code is None or isinstance(leaving.code, int):
        return leaving.code or 0
    tell("error", str(leaving.code))
    return BUG


def _operating_system(error: OSError, *, debug: bool) -> int:
    if isinstance(error, BrokenPipeError) and (reader_gone(1) or reader_gone(2)):
        silence(1)
        return 128 + signal.SIGPIPE
    if error.errno in _DISK:
        _trace(error, wanted=debug)
        tell("error", f"can't write {error.filename or 'the output'}: {(error.strerror or '').lower()}")
        silence(1)  # stdout on a full disk would fail again when Python shuts down
        return OutputError.exit_code
    return _bug(error, debug=debug)


def _bug(error: Exception, *, debug: bool) -> int:
    from saliency_cli.cli.bugs import keep_traceback

    _trace(error, wanted=debug)
    summary = f"{type(error).__name__}: {error}".rstrip(": ").partition("\n")[0]
    tell("error", f"this is a bug in saliency: {summary}")
    tell("hint", f"please report it at the issue tracker with {keep_traceback(error)}")
    return BUG


def _trace(error: Exception, *, wanted: bool) -> None:
    if wanted:
        import traceback

        say("".join(traceback.format_exception(error)), end="")
