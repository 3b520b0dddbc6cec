"""`edgellm serve` and `edgellm keys`: the service, and who may use it."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edgellm.cli.common import Commands, command, table
from edgellm.errors import ToolMissing, UsageError
from edgellm.runtime import registry

if TYPE_CHECKING:
    from edgellm.serve.keys import Key
    from edgellm.serve.settings import Values

EXAMPLES = """\
examples:
  edgellm serve home-260k                                     OpenAI's API at http://127.0.0.1:8000/v1, a chat at /
  edgellm serve home-260k household-260k --backend native,cpu --port 8080
  edgellm serve --config deploy/edgellm.toml --check          load everything, say what works, and stop
  edgellm serve home-260k --host 0.0.0.0 --keys keys.json     for other machines: `edgellm keys add NAME` first
  edgellm serve home-260k --set queue.most_requests=64        any other setting; see docs/service.md
  edgellm serve home-260k --ray                               copies on the machines of a Ray cluster
A setting is taken from flags, else environment variables (EDGELLM_SERVE_PORT, EDGELLM_SERVE_QUEUE__MOST_REQUESTS),
else the TOML file (--config, else EDGELLM_SERVE_CONFIG), else it has its default.
"""
KEYS_EXAMPLES = """\
examples:
  edgellm keys add kitchen                       the key is shown once, the file holds its hash
  edgellm keys add grafana --limit 60            at most 60 requests a minute
  edgellm keys add me --admin                    may use /admin too
  edgellm keys list
  edgellm keys remove kitchen                    running services notice at SIGHUP
"""
NEEDED = (
    "the service needs packages that are not installed (no module {name}): pip install 'edgellm[{extra}]'"
)


def add(commands: Commands) -> None:
    """Register both commands."""
    parser = command(commands, "serve", "serve models over HTTP, as OpenAI's API", run, EXAMPLES)
    parser.add_argument("models", metavar="MODEL", nargs="*", help="names, folders or bundles of models")
    _add_settings(parser)
    parser.add_argument("--config", type=Path, metavar="FILE", help="settings in TOML")
    parser.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="any setting; may be repeated"
    )
    parser.add_argument("--check", action="store_true", help="load everything, say what works, and stop")
    parser.add_argument("--print-config", action="store_true", help="print all settings as JSON, and stop")
    parser.add_argument("--ray", action="store_true", help="as a deployment on a Ray cluster")
    _add_keys(commands)


def _add_settings(parser: argparse.ArgumentParser) -> None:
    backends = ", ".join([registry.AUTO, *registry.BACKENDS])
    parser.add_argument("--host", metavar="ADDRESS", help="address to listen on (127.0.0.1)")
    parser.add_argument("--port", type=int, metavar="N", help="port to listen on (8000); 0: a free one")
    parser.add_argument("--backend", metavar="B,B", help=f"of every model, a worker each (auto): {backends}")
    parser.add_argument("--workers", type=int, metavar="N", help="so many workers for each of --backend (1)")
    parser.add_argument(
        "--isolated", action="store_true", default=None, help="each worker in a process of its own"
    )
    parser.add_argument("--keys", metavar="FILE", help="file of API keys, made by `edgellm keys add`")
    parser.add_argument("--tls-certificate", metavar="FILE", help="certificate, with its chain, in PEM")
    parser.add_argument("--tls-key", metavar="FILE", help="its private key in PEM, without a password")
    parser.add_argument(
        "--drain-seconds", type=float, metavar="S", help="to finish answers in at the end (30)"
    )
    parser.add_argument("--no-page", action="store_false", dest="page", default=None, help="no chat at /")
    parser.add_argument("--log-level", metavar="LEVEL", help="debug, info, warning, error (info)")


def _add_keys(commands: Commands) -> None:
    parser = command(
        commands, "keys", "make, list and remove API keys of the service", run_keys, KEYS_EXAMPLES
    )
    parser.add_argument("action", choices=["add", "list", "remove"])
    parser.add_argument("name", metavar="NAME", nargs="?", help="whose key it is")
    parser.add_argument("--limit", type=int, metavar="N", help="requests a minute at most (any number)")
    parser.add_argument("--admin", action="store_true", help="the key may use /admin")
    parser.add_argument("--file", type=Path, metavar="FILE", help="file of the keys")
    parser.add_argument("--config", type=Path, metavar="FILE", help="settings that name the file")


def flags(options: argparse.Namespace) -> dict[str, object]:
    """The settings that the flags make; those that were not given are left out."""
    if options.workers is not None and options.workers < 1:
        raise UsageError(f"--workers {options.workers}: must be at least 1")
    backends = options.backend.split(",") if options.backend else None
    if options.workers is not None:
        backends = [name for name in backends or [registry.AUTO] for _ in range(options.workers)]
    made: dict[str, object] = {
        "models": options.models or None,
        "models.backends": backends,
        "models.isolated": options.isolated,
        "host": options.host,
        "port": options.port,
        "drain_seconds": options.drain_seconds,
        "page": options.page,
        "security.keys": options.keys,
        "security.tls_certificate": options.tls_certificate,
        "security.tls_key": options.tls_key,
        "log.level": options.log_level,
    }
    given = {name: value for name, value in made.items() if value is not None}
    return {**given, **dict(map(_setting, options.set))}


def _setting(text: str) -> tuple[str, object]:
    """`queue.most_requests=10`; a value that is no JSON is text."""
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise UsageError(f"--set {text}: write NAME=VALUE, such as queue.most_requests=64")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


def run(options: argparse.Namespace) -> int:
    """Serve until a signal; or check, or print."""
    try:
        from edgellm.serve import loading
    except ModuleNotFoundError as error:
        raise _missing(error, "serve") from error
    given = flags(options)

    def read() -> Values:
        return loading.load(given, options.config)

    values = read()
    if options.print_config:
        print(json.dumps(loading.shown(values), indent=2))
        return 0
    try:
        if options.check:
            return _check(values)
        return _serve(values, read, options.ray)
    except ModuleNotFoundError as error:
        raise _missing(error, "serve,ray" if options.ray else "serve") from error


def _serve(values: Values, read: Callable[[], Values], on_ray: bool) -> int:
    if on_ray:
        from edgellm.serve import ray

        return int(ray.run(values))
    from edgellm.serve import run as running

    return int(running.run(values, read))


def _check(values: Values) -> int:
    from edgellm.serve import check

    findings = check.examine(values)
    print(table(["what", "well", "why"], [(f.subject, "yes" if f.well else "no", f.text) for f in findings]))
    return 0 if all(finding.well for finding in findings) else 2


def _missing(error: ModuleNotFoundError, extra: str) -> Exception:
    """What to install; another module of edgellm that is missing is a mistake of its own."""
    if error.name is None or error.name.split(".")[0] == "edgellm":
        return error
    return ToolMissing(NEEDED.format(name=error.name, extra=extra))


def run_keys(options: argparse.Namespace) -> int:
    """Change or show the file of keys."""
    try:
        from edgellm.serve import keys, loading
    except ModuleNotFoundError as error:
        raise _missing(error, "serve") from error
    file = options.file or loading.keys_file(options.config) or keys.default_file()
    if options.action == "list":
        print(_listed(keys.read(file) if file.exists() else ()))
        return 0
    if not options.name:
        raise UsageError(f"edgellm keys {options.action}: give a NAME")
    if options.action == "remove":
        keys.remove(file, options.name)
        sys.stderr.write(f"removed from {file}; SIGHUP tells a running service\n")
        return 0
    print(keys.add(file, options.name, options.limit, options.admin))
    sys.stderr.write(f"shown this once; its hash is in {file}: edgellm serve --keys {file}\n")
    return 0


def _listed(known: Sequence[Key]) -> str:
    rows = [
        (
            key.name,
            key.id,
            key.created,
            key.limit or "-",
            "yes" if key.admin else "no",
        )
        for key in known
    ]
    return table(["name", "id", "made", "a minute", "admin"], rows)
